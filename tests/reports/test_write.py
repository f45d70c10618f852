"""What an evaluation leaves: page, tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from rxt_mrl.reports.tables import latex, markdown
from rxt_mrl.reports.write import write_report


def test_page_tables_and_pictures(document: dict[str, Any], questions: pd.DataFrame, tmp_path: Path) -> None:
    names = [path.name for path in write_report(tmp_path / "new", document, questions)]
    assert names == ["report.html", "table.md", "table.tex", "bits.png", "heat.png", "memory.png"]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "new").iterdir())
    for name in names[3:]:
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "new" / "table.md").read_text(encoding="utf-8").splitlines()
    assert table[0].startswith("|  | data | recall % | 95 % |")
    assert table[2] == (
        "| memory_aware | main | 70.0 | 50.0 \u2013 98.0 | 5.0 | 0.0 | 8.00 | 9.50 | 4.00 | 1.20 | 95.0 | 2.25 | 7.50 |"
    )
    assert len(table) == 6
    paper = (tmp_path / "new" / "table.tex").read_text(encoding="utf-8")
    assert r"memory\_aware & main & 70.0 & 50.0 -- 98.0 &" in paper
    assert r"mrl & far \& wide & 60.0" in paper
    assert paper.count(r"\\") == 5


def test_a_result_without_figures(tmp_path: Path) -> None:
    document = {"stages": {"hf": {"sources": {"main": {"ppl": 1.5, "recall": None}}}}}
    assert [path.name for path in write_report(tmp_path, document)] == ["report.html", "table.md", "table.tex"]


def test_cells_that_tables_would_misread() -> None:
    assert markdown(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"
    assert r"50\% \& \$1 \#2 \_x" in latex(["a"], [["50% & $1 #2 _x"]])

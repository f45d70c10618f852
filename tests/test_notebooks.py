"""The notebooks run from top to bottom on their tiny setting."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_MRL_NOTEBOOK", "tiny")
    monkeypatch.delenv("RXT_MRL_RUN", raising=False)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert list(tmp_path.rglob("retention.json"))
    warnings = [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr" and "Warning" in output["text"]
    ]
    assert not warnings


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_whole_and_small(path):
    """People read them on the web before they run them; ``make notebooks`` stores them."""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    run = [cell.execution_count for cell in code if cell.execution_count]
    assert run == list(range(1, len(code) + 1)), "run from top to bottom: make notebooks"
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    text = path.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/", text)


@pytest.mark.parametrize(("path", "count"), [*zip(NOTEBOOKS, (1, 1, 3), strict=True)])
def test_what_is_measured_is_shown(path, count):
    stored = nbformat.read(path, as_version=4)
    pictures = [
        output for cell in stored.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == count

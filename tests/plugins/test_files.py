"""Plug-ins in a file: run once, apart from other files, and what a file that does not work says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rxt_mrl import plugins
from rxt_mrl.errors import UserError
from rxt_mrl.plugins.files import digest_of, load_file


def test_a_file_is_run_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text("class Short:\n    limit = 5\n")
    first = plugins.find("reward", f"{path}:Short")
    assert plugins.find("reward", f"{tmp_path}/../{tmp_path.name}/my.py:Short") is first
    path.write_text("class Short:\n    limit = 10\n")
    assert plugins.find("reward", f"{path}:Short").limit == 10


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for folder, value in (("one", 0.25), ("two", 0.75)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").write_text(f"def mine():\n    return {value}\n")
    values = [plugins.find("env", f"{tmp_path / folder}/my.py:mine")() for folder in ("one", "two")]
    assert values == [0.25, 0.75]


def test_a_file_that_failed_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "mended.py"
    path.write_text("def f(:\n")
    with pytest.raises(UserError, match="SyntaxError"):
        plugins.find("source", f"{path}:f")
    path.write_text("def f(split):\n    return [split]\n")
    assert plugins.find("source", f"{path}:f")("train") == ["train"]


def test_without_a_name_the_object_declared_to_be_of_the_kind_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text("def helper():\n    pass\ndef meant():\n    pass\nmeant.source_name = 'meant'\n")
    assert plugins.find("source", str(path)).__name__ == "meant"
    with pytest.raises(UserError, match=r"say which one, .*two\.py:Name; the file defines helper, meant"):
        plugins.find("env", str(path))


def test_a_file_imports_those_beside_it_and_none_of_another_folder(tmp_path: Path) -> None:
    for number, folder in enumerate((tmp_path / "a", tmp_path / "b")):
        folder.mkdir()
        (folder / "helper_beside.py").write_text(f"def number():\n    return {number}\n")
        (folder / "mine.py").write_text("from helper_beside import number\n\ndef mine():\n    return number()\n")
    first, second = (load_file(tmp_path / name / "mine.py", "mine", "reward") for name in "ab")
    assert (first(), second()) == (0, 1)
    before = digest_of(tmp_path / "b" / "mine.py")
    (tmp_path / "b" / "helper_beside.py").write_text("def number():\n    return 2\n")
    assert digest_of(tmp_path / "b" / "mine.py") != before


def test_our_future_flags_do_not_leak_into_a_file(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text("def typed(value: int) -> float:\n    return value / 2\n")
    assert load_file(file, "typed", "reward").__annotations__ == {"value": int, "return": float}

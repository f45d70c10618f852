"""YAML 1.2: what a scalar means, what is refused in one line, and that what is written reads back the same."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rxt_mrl import yaml12
from rxt_mrl.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("+.inf", math.inf),
        ("12:30", "12:30"),
        ("[yes, no, on, Off, y]", ["yes", "no", "on", "Off", "y"]),
        ("[true, False]", [True, False]),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("[null, ~, '']", [None, None, ""]),
        ("", None),
        ("'1e-3'", "1e-3"),
        ("0b1", "0b1"),
        ("=", "="),
        ("{<<: {a: 1}, b: 2}", {"a": 1, "b": 2}),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = yaml12.parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        *("1e-3", "0o17", "12:30", "yes", "010", "1_000", "2024-01-01", "null", "~", "", "0x1F", "=", "<<"),
        *("a: b", "a\nb", "\U0001f600", "é", 1e-5, 1e300, -0.0, True, None, 7),
        *([math.inf], {"on": "off"}),
    ],
)
def test_what_is_written_reads_back_the_same(value: object) -> None:
    text = yaml12.text_of({"key": value})
    assert yaml12.parse(text) == {"key": value}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2", "line 2: key 'a' is given twice"),
        ("a: [1, 2", "not YAML, line 1, column 9: expected ',' or ']', but got '<stream end>'"),
        ('a: "\\ud83d"', "line 1: a text holds half a character (\\ud83d)"),
        ('a: "x\\0y"', "line 1: a text holds a NUL character (\\u0000)"),
        ("a: &x [*x]", "line 1: an alias stands inside of what it names"),
        ("9" * 5000, "line 1: 99999999999999999999... (5000 characters) is no whole number"),
        ("[" * 5000, "line 1: nested more than 100 levels deep"),
        ("!!int x", "line 1: x is no whole number"),
        ("!!python/name:os.system x", "not YAML, line 1, column 1: could not determine a constructor for the tag"),
        ("a\x00b", "not YAML, character 0x00 is not allowed"),
    ],
)
def test_what_is_refused(text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        yaml12.parse(text)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_few_lines_that_stand_for_billions() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(UserError, match=r"line 6: more than 100,000 values, aliases written out"):
        yaml12.parse("\n".join(lines))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with pytest.raises(UserError, match=r"a\.yaml: cannot be read \(No such file or directory\)"):
        yaml12.read(path)
    path.write_text("- 1")
    with pytest.raises(UserError, match=r"a\.yaml: a recipe is a mapping of sections, this is list"):
        yaml12.read(path)

"""``report.html``: every figure is in the JSON, nothing is fetched, and it fits a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rxt_mrl.reports.figures import Figures, written
from rxt_mrl.reports.page import report_page
from rxt_mrl.reports.transcripts import chosen, marked, transcript

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


class Reader(HTMLParser):
    """What a page shows: the text of each figure with its pointer and form, all attributes, and the stored JSON."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str, str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.results = ""
        self._open: list[str] = []
        self._json = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._json = found.get("id") == "results"
        if "data-key" in found:
            self.figures.append((str(found["data-key"]), str(found["data-form"]), ""))
            self._open = [tag]

    def handle_endtag(self, tag: str) -> None:
        if self._open == [tag]:
            self._open = []

    def handle_data(self, data: str) -> None:
        if self._json:
            self.results += data
        elif self._open:
            key, form, text = self.figures[-1]
            self.figures[-1] = (key, form, text + data)


def resolved(document: Any, pointer: str) -> Any:
    """A JSON pointer's value (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


def check_figures(page: str, document: dict[str, Any]) -> int:
    """Hold each figure of a page to the JSON; how many there are."""
    figures = Reader(page).figures
    for key, form, text in figures:
        assert text == written(resolved(document, key), form), key  # type: ignore[arg-type]
    return len(figures)


def test_every_figure_is_that_of_the_json(document: dict[str, Any], questions: pd.DataFrame) -> None:
    page = report_page(document, questions)
    assert json.loads(Reader(page).results) == document
    assert check_figures(page, document) > 100
    wrong = json.loads(json.dumps(document))
    wrong["stages"]["mrl"]["sources"]["main"]["recall"] = 0.1
    with pytest.raises(AssertionError):
        check_figures(page, wrong)


def test_no_number_is_shown_that_is_not_in_the_json(document: dict[str, Any]) -> None:
    """Outside of figures there are the names of distances, steps, turns and slots, and the ticks of axes."""
    page = report_page(document)
    body = page.partition("<main>")[2].partition("</main>")[0]
    text = re.sub(
        r"(?s)<text class=\"tick\".*?</text>|<span data-key.*?</span>|<t[dh][^>]*data-key.*?</t[dh]>", "", body
    )
    text = re.sub(r"(?s)<title data-key.*?</title>|<th[ >].*?</th>|<[^>]+>", " ", text)
    left = set(re.findall(r"(?<![\w.])\d[\d.,]*", unescape(text))) - {"0", "1", "10", "95"}
    assert not left


def test_nothing_is_fetched(document: dict[str, Any], questions: pd.DataFrame) -> None:
    page = report_page(document, questions)
    assert "default-src 'none'" in page
    assert not [found for found in Reader(page).attributes if found[1] in ("src", "srcset", "action", "background")]
    links = [value for _, name, value in Reader(page).attributes if name == "href"]
    assert links
    assert all(link and link.startswith("#source-") for link in links)
    assert not re.search(r"url\(|@import|https?://", page)


def test_texts_are_texts(document: dict[str, Any], questions: pd.DataFrame) -> None:
    page = report_page(document, questions)
    assert "runs/&lt;demo&gt;" in page
    assert "<plums>" not in page.replace("&lt;", "").replace("&gt;", "")
    assert "10</span> of" in page  # interrupted


def test_a_report_of_a_model_without_annotations(document: dict[str, Any]) -> None:
    bare = {"episodes": 2, "steps": 3, "recall": None, "ppl": 1.5, "score_mean": None, "bits": None, "abilities": {}}
    page = report_page({"stages": {"hf": {"sources": {"main": bare}}}})
    assert "Recall by distance" not in page
    assert check_figures(page, {"stages": {"hf": {"sources": {"main": bare}}}}) == 3


def test_the_best_and_the_worst_dialogues(questions: pd.DataFrame) -> None:
    assert chosen(questions, 1).best == (3,)
    assert chosen(questions, 1).worst == (0,)
    assert chosen(questions, 3).best == (3, 2)
    assert chosen(questions, 3).worst == (0, 1)
    assert chosen(questions.assign(right=float("nan"), score=float("nan"))).best == ()


def test_asked_facts_are_marked(questions: pd.DataFrame) -> None:
    told = transcript(questions[questions["dialogue"] == 1])
    assert "The fox ate &lt;<mark>plums</mark>&gt;." in told
    assert "It ate <mark>PLUMS</mark>." in told
    assert "It ate a plumsicle." in told
    assert told.count(">right<") == 1
    assert "reference: It ate <mark>plums</mark>." in told
    assert marked("a+b, A+B!", {"a+b"}) == "<mark>a+b</mark>, <mark>A+B</mark>!"


def test_values_as_they_are_written() -> None:
    assert written(-0.0004, "two") == "0.00"
    assert written(0.9876, "percent") == "98.8"
    assert written([0.5, None], "percent") == "50.0 \u2013 \u2013"
    assert written(432743, "count") == "432,743"
    assert Figures({"a/b": [1.0]}).show("a/b", 0, form="one") == '<span data-key="/a~1b/0" data-form="one">1.0</span>'


# --- in a browser ----------------------------------------------------------------------------------------------------


def browse(folder: Path, name: str, *options: str) -> str:
    """Open a page of a folder in headless Chromium and give the document as it is after loading."""
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
        "--disable-features=NetworkTimeServiceQuerying", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2000", *options, "--dump-dom",
        (folder / name).as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_in_a_browser(document: dict[str, Any], questions: pd.DataFrame, tmp_path: Path) -> None:
    page = report_page(document, questions)
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    shown, asked = requests(tmp_path, "report.html")
    assert check_figures(shown, document) == check_figures(page, document)
    assert not asked
    (tmp_path / "other.html").write_text('<img src="http://example.invalid/picture.png">', encoding="utf-8")
    assert requests(tmp_path, "other.html")[1] == {"http://example.invalid/picture.png"}  # it would have been seen


def requests(folder: Path, name: str) -> tuple[str, set[str]]:
    """The document of a page, and what it asked other machines for."""
    log = folder / "net.json"
    shown = browse(folder, name, f"--log-net-log={log}")
    events = (event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"])
    asked = {event["url"] for event in events if event.get("initiator", "not an origin") != "not an origin"}
    return shown, {url for url in asked if not url.startswith("file://")}  # not what the browser itself looks for


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits(document: dict[str, Any], questions: pd.DataFrame, tmp_path: Path, width: int) -> None:
    page = report_page(document, questions).replace("<details>", "<details open>")
    measure = "<script>document.body.dataset.width = document.documentElement.scrollWidth</script></body>"
    free = re.sub(r"<meta http-equiv[^>]*>", "", page).replace("</body>", measure)
    (tmp_path / "report.html").write_text(free, encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        f'<iframe id="frame" src="report.html" width="{width}" height="900" style="border:0"></iframe>'
        "<script>addEventListener('load', () => { document.body.dataset.width ="
        " document.getElementById('frame').contentDocument.body.dataset.width })</script>",
        encoding="utf-8",
    )
    found = re.search(r'data-width="(\d+)"', browse(tmp_path, "frame.html"))
    assert found is not None
    assert int(found.group(1)) <= width

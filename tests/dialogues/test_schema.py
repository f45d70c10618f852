import pytest
from datasets import Dataset, load_dataset

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues import from_dataset, from_row, to_dataset, to_row
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.errors import UserError

PLAIN = {"query": "q", "answer": "a", "interactions": [{"query": "x", "answer": "y"}]}
MADE = dialogues(StoryworldConfig(level="hard", steps=6), 20)


def test_round_trip_with_and_without_asks(tmp_path):
    assert from_dataset(to_dataset(MADE)) == MADE
    bare = from_dataset(to_dataset(MADE, asks=False))
    assert [turn.query for turn in bare[3].turns] == [turn.query for turn in MADE[3].turns]
    assert all(not turn.asks for dialogue in bare for turn in dialogue.turns)
    file = tmp_path / "data.parquet"
    to_dataset(MADE).to_parquet(file)
    read = load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert from_dataset(read) == MADE


def test_published_columns():
    row = to_row(MADE[0], asks=False)
    assert list(row) == ["query", "answer", "interactions"]
    assert set(row["interactions"][0]) == {"query", "answer"}
    assert to_dataset([]).column_names == ["query", "answer", "interactions"]


def test_rows_without_asks_and_with_other_columns_are_read():
    dialogue = from_row({**PLAIN, "id": 7})
    assert dialogue == Dialogue("q", "a", (Interaction("x", "y"),), {"id": 7})
    assert from_dataset(Dataset.from_list([{**PLAIN, "id": 7}])) == [dialogue]


def test_struct_of_lists_is_read():
    columns = {"query": ["x", "z"], "answer": ["y", "w"], "asks": [[{"value": "q", "told_at": 0}], None]}
    dialogue = from_row({**PLAIN, "interactions": columns})
    assert [turn.asks for turn in dialogue.interactions] == [(Ask("q", 0),), ()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": None}, "row: query is missing, text is needed"),
        ({"answer": 3}, "row: answer is int, text is needed"),
        ({"answer": "  "}, "row: answer is empty"),
        ({"interactions": None}, "row: interactions is NoneType"),
        ({"interactions": ["x"]}, "row: interaction 1 is str"),
        ({"interactions": [{"query": "x"}]}, "row: interaction 1: answer is missing"),
        ({"interactions": {"query": ["x"], "answer": []}}, r"different lengths \[0, 1\]"),
        ({"interactions": {"query": "ab", "answer": "cd"}}, r"interactions\.query is str, a list is needed"),
        ({"interactions": {"query": "q", "answer": None}}, r"interactions\.query is str, a list is needed"),
        ({"asks": {"value": "dog", "told_at": 0}}, r"asks\.value is str, a list is needed"),
        ({"asks": {"value": ["dog"], "wrong": None}}, r"asks\.wrong is NoneType, a list is needed"),
        ({"asks": {"value": ["dog", "cat"], "told_at": [0]}}, r"asks has columns of different lengths \[1, 2\]"),
        ({"asks": "dog"}, "asks is str"),
        ({"asks": ["dog"]}, "an ask is str"),
        ({"asks": [{"value": "", "told_at": 0}]}, "ask value '' is not a text"),
        ({"asks": [{"value": "dog", "told_at": 1}]}, r"told_at 1 is not an earlier interaction \(0 to 0\)"),
        ({"asks": [{"value": "dog", "told_at": -1}]}, "told_at -1"),
        ({"asks": [{"value": "dog", "told_at": 0, "wrong": "cat"}]}, r"wrong 'cat' is not a list of texts"),
    ],
)
def test_bad_rows_are_named(change, message):
    row = {**PLAIN, **{key: value for key, value in change.items() if key != "asks"}}
    if "asks" in change:
        row["interactions"] = [{**PLAIN["interactions"][0], "asks": change["asks"]}]
    with pytest.raises(UserError, match=message):
        from_row(row)
    with pytest.raises(UserError, match=r"^train row 1: "):
        from_dataset([PLAIN, row], name="train")

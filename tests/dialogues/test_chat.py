"""Conversations in the layouts of public files: what is read, joined and dropped adds up to what the file holds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl.contracts import Dialogue
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs, load_texts
from rxt_mrl.dialogues.sources.inspect import inspect_source
from rxt_mrl.dialogues.sources.load import LoadedDialogues
from rxt_mrl.errors import UserError

KITE = [("I have a red kite.", "How nice!"), ("What do I have?", "A kite."), ("Which color?", "Red.")]


def said(pairs: list[tuple[str, str]], role: str, content: str, user: Any, assistant: Any) -> list[dict[str, Any]]:
    return [{role: who, content: text} for pair in pairs for who, text in zip((user, assistant), pair, strict=True)]


def tree(text: str, role: str, *replies: dict[str, Any], rank: int | None = None) -> dict[str, Any]:
    return {"message_id": text, "text": text, "role": role, "rank": rank, "replies": list(replies)}


CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
TOOLS = [
    {"role": "user", "content": "Is it warm in Rome?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "21 degrees"},
    {"role": "assistant", "content": "Yes, 21 degrees."},
    {"role": "user", "content": "Thanks!"},
    {"role": "assistant", "content": "Any time."},
]
PARTS = [
    {"role": "user", "content": [{"type": "text", "text": "My kite:"}, {"type": "image_url", "image_url": {}}]},
    {"role": "assistant", "content": [{"type": "text", "text": "It is red."}]},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Sure."},
]
BABI_DIALOG = (
    "1 hi\thello\n2 a table\tfor how many\n3 resto_1 R_phone 12\n4 <SILENCE>\there it is\n\n1 bye\tbye\n2 no\tyes\n"
)
OASST = tree("Hi", "prompter", tree("Go", "assistant", rank=1),
             tree("Hello", "assistant", tree("Who?", "prompter", tree("Me", "assistant")), rank=0))  # fmt: skip

# ruff: noqa: E501 - rows as they stand in files
LAYOUTS: dict[str, tuple[str, Any, tuple[int, int, int], tuple[str, str], str]] = {
    # name: file, content, (read, joined, dropped), first query and answer, last answer of the first dialogue
    "OpenAI": (
        "a.jsonl",
        [{"messages": [{"role": "system", "content": "Be brief."}, *said(KITE, "role", "content", "user", "assistant")]}],
        (7, 0, 0), ("Be brief.", "I will remember that."), "Red.",
    ),
    "OpenAI tools": ("a.jsonl", [{"messages": TOOLS, "tools": []}], (6, 0, 0),
                     ("Is it warm in Rome?", 'weather({"city": "Rome"})'), "Any time."),
    "OpenAI parts": ("a.jsonl", [{"messages": PARTS}], (4, 0, 0), ("My kite:", "It is red."), "Sure."),
    "ShareGPT": (
        "a.json",
        [{"id": "x", "conversations": [{"from": "gpt", "value": "Hi!"}, *said(KITE, "from", "value", "human", "gpt")]}],
        (6, 0, 1), KITE[0], "Red.",
    ),
    "LLaMA-Factory sharegpt": (
        "a.json",
        [{"conversations": [{"from": "human", "value": "Add."}, {"from": "function_call", "value": "add(1)"},
                            {"from": "observation", "value": "2"}, {"from": "gpt", "value": "It is 2."}],
          "system": "You add.", "tools": ""}],
        (5, 0, 0), ("You add.", "I will remember that."), "It is 2.",
    ),
    "LLaMA-Factory alpaca": (
        "a.json",
        [{"instruction": "Which color?", "input": "Say it.", "output": "Red.", "history": [list(KITE[0]), list(KITE[1])]},
         {"instruction": "Count", "input": "", "output": "1 2"}],
        (6, 0, 2), KITE[0], "Red.",
    ),
    "LLaMA-Factory preference": (
        "a.json",
        [{"conversations": said(KITE, "from", "value", "human", "gpt")[:-1],
          "chosen": {"from": "gpt", "value": "Red."}, "rejected": {"from": "gpt", "value": "Blue."}}],
        (6, 0, 0), KITE[0], "Red.",
    ),
    "MT-Bench-101": ("a.jsonl", [{"task": "CM", "id": 1, "history": [{"user": q, "bot": a} for q, a in KITE]}],
                     (6, 0, 0), KITE[0], "Red."),
    "MT-Bench": ("a.jsonl", [{"question_id": 1, "category": "x", "turns": ["A?", "B?"], "reference": ["1", "2"]}],
                 (4, 0, 0), ("A?", "1"), "2"),
    "history of pairs": ("a.json", [{"history": [list(pair) for pair in KITE]}], (6, 0, 0), KITE[0], "Red."),
    "DailyDialog": ("a.json", [{"dialog": ["Hi.", "Hello.", "My cat ran.", "Oh!", "Yes."], "act": [1, 2, 1, 2, 1]}],
                    (4, 0, 1), ("Hi.", "Hello."), "Oh!"),
    "DailyDialog text": ("a.txt", "Hi . __eou__ Hello . __eou__ Well ? __eou__ Yes . __eou__\n", (4, 0, 0),
                         ("Hi .", "Hello ."), "Yes ."),
    "DailyDialog table": (  # lists as NumPy writes them, without commas
        "a.csv",
        "dialog,act\n\"['Hi . ' ' Hello . '\n \"\"It's late .\"\" ' Yes . ']\",[1 2 1 2]\n",
        (4, 0, 0), ("Hi .", "Hello ."), "Yes .",
    ),
    "messages in a table": (
        "a.csv",
        "id,messages\n1,\"[{'role': 'user', 'content': 'A'}, {'role': 'assistant', 'content': 'B'}, "
        "{'role': 'user', 'content': 'C'}, {'role': 'assistant', 'content': None}]\"\n"
        '2,"[{""role"": ""user"", ""content"": ""A""}, {""role"": ""assistant"", ""content"": ""B""}, '
        '{""role"": ""user"", ""content"": ""C""}, {""role"": ""assistant"", ""content"": ""D""}]"\n',
        (4, 0, 4), ("A", "B"), "D",
    ),
    "conversations by their ids": (
        "a.json",
        {name: said(KITE, "role", "content", "user", "assistant") for name in ("x", "y")},
        (12, 0, 0), KITE[0], "Red.",
    ),
    "CoQA": (
        "a.json",
        {"version": "1.0", "data": [{
            "source": "x", "id": "1", "story": "Tim had a cow.", "filename": "f",
            "questions": [{"input_text": "Who?", "turn_id": 1}, {"input_text": "What?", "turn_id": 2}],
            "answers": [{"input_text": "Tim", "span_text": "Tim had"}, {"input_text": "a cow", "span_text": "a cow"}],
        }]},
        (5, 0, 0), ("Tim had a cow.", "I will remember that."), "a cow",
    ),
    "CoQA of the Hub": (
        "a.jsonl",
        [{"source": "x", "story": "Tim had a cow.", "questions": ["Who?", "What?"],
          "answers": {"input_text": ["Tim", "a cow"], "answer_start": [0, 8], "answer_end": [3, 13]}}],
        (5, 0, 0), ("Tim had a cow.", "I will remember that."), "a cow",
    ),
    "QuAC": (
        "a.json",
        {"data": [{"title": "t", "paragraphs": [{"context": "Tim had a cow.", "qas": [
            {"question": "Who?", "answers": [{"text": "Tim"}]}, {"question": "What?", "answers": [{"text": "cow"}]}]}]}]},
        (5, 0, 0), ("Tim had a cow.", "I will remember that."), "cow",
    ),
    "MultiWOZ 2.2": (
        "a.json",
        [{"dialogue_id": "1", "services": [], "turns": [
            {"speaker": who, "utterance": text, "turn_id": "0", "frames": []}
            for who, text in (("USER", "A taxi."), ("SYSTEM", "Where to?"), ("USER", "Home."), ("SYSTEM", "Done."))]}],
        (4, 0, 0), ("A taxi.", "Where to?"), "Done.",
    ),
    "MultiWOZ 2.1": (
        "a.json",
        {"SNG1.json": {"goal": {}, "log": [{"text": t, "metadata": {}} for t in ("A taxi.", "To?", "Home.", "Done.")]}},
        (4, 0, 0), ("A taxi.", "To?"), "Done.",
    ),
    "MultiWOZ of the Hub": (
        "a.jsonl",
        [{"dialogue_id": "1", "turns": {"speaker": [0, 1, 0, 1], "utterance": ["A taxi.", "To?", "Home.", "Done."]}}],
        (4, 0, 0), ("A taxi.", "To?"), "Done.",
    ),
    "UltraChat": ("a.jsonl.gz", [{"id": "0", "data": [text for pair in KITE for text in pair]}], (6, 0, 0), KITE[0], "Red."),
    "OpenAssistant tree": ("a.jsonl", [{"message_tree_id": "1", "prompt": OASST}], (4, 0, 1), ("Hi", "Hello"), "Me"),
    "OpenAssistant rows": (
        "a.jsonl",
        [{"message_id": i, "parent_id": p, "text": t, "role": r, "rank": k, "message_tree_id": "1"} for i, p, t, r, k in (
            ("1", None, "Hi", "prompter", None), ("2", "1", "Go", "assistant", 1.0), ("3", "1", "Hello", "assistant", 0.0),
            ("4", "3", "Who?", "prompter", None), ("5", "4", "Me", "assistant", None))],
        (4, 0, 1), ("Hi", "Hello"), "Me",
    ),
    "a turn a row": (
        "a.csv",
        "conversation_id,turn,speaker,text\n1,2,bot,How nice!\n1,1,user,I have a kite.\n1,3,user,What?\n1,4,bot,A kite.\n",
        (4, 0, 0), ("I have a kite.", "How nice!"), "A kite.",
    ),
    "two names": ("a.json", {"dialogues": [{"utterances": said(KITE, "speaker", "text", "Ann", "Bob")}]}, (6, 0, 0),
                  KITE[0], "Red."),
    "bAbI dialogs": ("dialog-babi-task1-trn.txt", BABI_DIALOG, (10, 1, 0), ("hi", "hello"), "here it is"),
}  # fmt: skip


def write(tmp_path: Path, name: str, content: Any) -> Path:
    path = tmp_path / name
    if not isinstance(content, str):
        lines = name.removesuffix(".gz").endswith(".jsonl")
        content = "\n".join(map(json.dumps, content)) + "\n" if lines else json.dumps(content, indent=1)
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


def chat(tmp_path: Path, rows: Any, steps: int | None = None, skip: bool = False, **options: Any) -> LoadedDialogues:
    path = rows if isinstance(rows, Path) else write(tmp_path, "rows.jsonl", rows)
    settings = DataSettings(source="chat", path=str(path), options=options, on_bad_row="skip" if skip else "stop")
    loaded = load_dialogues(settings, steps=steps)
    tally = loaded.report.tally
    assert tally is not None
    assert tally.in_data == tally.read + tally.joined + tally.dropped.total()
    return loaded


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    file, content, counts, first, last = LAYOUTS[name]
    path = write(tmp_path, file, content)
    result = inspect_source(path)  # finds the reader, and compares what it writes with what it read
    assert result["content"] == "dialogues"
    turns = result["load"]["turns"]
    assert (turns["read"], turns["joined"], turns["dropped"]) == counts
    assert turns["in_data"] == sum(counts)
    dialogue = chat(tmp_path, path).dialogues[0]
    assert (dialogue.query, dialogue.answer) == first
    assert dialogue.interactions[-1].answer == last


def test_pictures_are_counted(tmp_path: Path) -> None:
    tally = chat(tmp_path, [{"messages": PARTS}]).report.tally
    assert tally is not None
    assert tally.parts == {"image_url": 1}
    assert "left out inside of turns: 1 image_url" in "\n".join(tally.lines())


def test_a_number_is_its_text_and_nothing_else_is(tmp_path: Path) -> None:
    turns = [("user", "How many?"), ("assistant", 0), ("user", "And now?"), ("assistant", 4.5)]
    lost = [("user", "Sure?"), ("assistant", True), ("user", "Is it?"), ("assistant", float("nan"))]
    loaded = chat(tmp_path, [{"messages": [{"role": role, "content": text} for role, text in turns + lost]}])
    assert [turn.answer for turn in loaded.dialogues[0].turns] == ["0", "4.5"]
    assert loaded.report.tally is not None
    assert loaded.report.tally.parts == {"bool": 1, "float": 1}


def queries(loaded: LoadedDialogues) -> list[list[str]]:
    return [[turn.query for turn in dialogue.turns] for dialogue in loaded.dialogues]


SYSTEM = [
    {"messages": [{"role": "system", "content": "You are Bo."}, *said(KITE, "role", "content", "user", "assistant")]}
]


def test_system_messages(tmp_path: Path) -> None:
    assert queries(chat(tmp_path, SYSTEM))[0][0] == "You are Bo."
    prefix = chat(tmp_path, SYSTEM, system="prefix")
    assert queries(prefix)[0][0] == "You are Bo.\nI have a red kite."
    assert prefix.report.tally is not None
    assert (prefix.report.tally.read, prefix.report.tally.joined) == (6, 1)
    dropped = chat(tmp_path, SYSTEM, system="drop").report
    assert dropped.to_dict()["turns"]["reasons"] == {"system message": 1}
    assert dropped.drops == ["rows.jsonl line 1: 1 system message"]


def test_tools(tmp_path: Path) -> None:
    rows = [{"messages": TOOLS}]
    assert queries(chat(tmp_path, rows)) == [["Is it warm in Rome?", "21 degrees", "Thanks!"]]
    dropped = chat(tmp_path, rows, tools="drop")
    assert [turn.answer for turn in dropped.dialogues[0].turns] == ["Yes, 21 degrees.", "Any time."]
    assert dropped.report.to_dict()["turns"]["reasons"] == {"tool call or result": 2}


def test_turns_of_one_role_in_a_row(tmp_path: Path) -> None:
    texts = [("user", "A"), ("user", "B"), ("assistant", "C"), ("assistant", "D"), ("user", "E"), ("assistant", "F")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in texts]}]
    joined = chat(tmp_path, rows)
    assert (joined.dialogues[0].query, joined.dialogues[0].answer) == ("A\nB", "C\nD")
    assert joined.report.to_dict()["turns"]["joined"] == 2
    first = chat(tmp_path, rows, same_role="drop")
    assert (first.dialogues[0].query, first.dialogues[0].answer) == ("A", "C")
    assert first.report.to_dict()["turns"]["reasons"] == {"second turn of one role": 2}


def test_the_last_query_and_the_first_answer(tmp_path: Path) -> None:
    turns = [{"role": "assistant", "content": "Hi!"}, *said(KITE, "role", "content", "user", "assistant"),
             {"role": "user", "content": "Bye."}]  # fmt: skip
    report = chat(tmp_path, [{"messages": turns}]).report
    assert report.to_dict()["turns"]["reasons"] == {"answer before any query": 1, "query without an answer": 1}
    kept = chat(tmp_path, [{"messages": turns}], unanswered="acknowledge", opening="Hello?", acknowledge="Well.")
    assert queries(kept) == [["Hello?", *(query for query, _ in KITE), "Bye."]]
    assert kept.dialogues[0].turns[-1].answer == "Well."


def test_ragged_lengths(tmp_path: Path) -> None:
    rows = [{"history": [{"user": f"q{row}{turn}", "bot": "a"} for turn in range(length)]}
            for row, length in enumerate((1, 2, 5, 6))]  # fmt: skip
    prefix = chat(tmp_path, rows, steps=1)
    assert queries(prefix) == [["q10", "q11"], ["q20", "q21"], ["q30", "q31"]]
    assert prefix.report.passed == {"one query only, no follow-up": 1}
    windows = chat(tmp_path, rows, steps=1, windows=True)
    assert queries(windows)[1:] == [["q20", "q21"], ["q22", "q23"], ["q30", "q31"], ["q32", "q33"], ["q34", "q35"]]
    assert windows.report.to_dict()["turns"]["reasons"] == {"after the windows": 2, "one query only, no follow-up": 2}
    longer = chat(tmp_path, rows, steps=4)
    assert queries(longer) == [[f"q2{turn}" for turn in range(5)], [f"q3{turn}" for turn in range(5)]]
    assert len(chat(tmp_path, rows)) == 3
    with pytest.raises(UserError, match="nothing left of 4 rows"):
        chat(tmp_path, rows, steps=9)


def test_bad_rows_are_named_and_their_turns_counted(tmp_path: Path) -> None:
    good = {"messages": said(KITE, "role", "content", "user", "assistant")}
    rows = [good, {"messages": [{"role": "user", "content": "A"}, {"text": "B"}]}, {"other": 1}, 7,
            {"messages": [{"role": name, "content": name} for name in ("Ann", "Bob", "Cy")]}]  # fmt: skip
    with pytest.raises(UserError, match=r"rows.jsonl line 2: turn 2 has no 'role' and 'content'; there are: text"):
        chat(tmp_path, rows)
    report = chat(tmp_path, rows, skip=True).report
    assert [row.number for row in report.bad] == [2, 3, 4, 5]
    assert "3 speakers (Ann, Bob, Cy): say which" in report.bad[-1].problem
    assert report.to_dict()["turns"]["reasons"] == {"in a bad row": 5}


def test_roles_and_keys_can_be_named(tmp_path: Path) -> None:
    turns = [*said(KITE, "wer", "was", "Kunde", "Berater"), {"wer": "Chef", "was": "Gut."}]
    rows = [{"akte": {"verlauf": turns}}]
    with pytest.raises(UserError, match=r"no column holds the turns of a conversation; there are: akte \(say which"):
        chat(tmp_path, rows)
    loaded = chat(
        tmp_path, rows, turns="akte.verlauf", role="wer", content="was", user=["Kunde"], assistant=["Berater", "Chef"]
    )
    assert loaded.dialogues[0].interactions[-1].answer == "Red.\nGut."
    path = write(tmp_path, "r.json", {"kopf": 1, "liste": [{"verlauf": turns[:-1]}]})
    options = inspect_source(path, columns={"turns": "verlauf", "role": "wer", "content": "was", "rows": "liste"})
    assert options["load"]["turns"]["read"] == 6
    with pytest.raises(UserError, match="no 'nichts' on the way to the rows 'nichts'; there are: kopf, liste"):
        inspect_source(path, columns={"rows": "nichts"})


def test_rows_can_be_chosen(tmp_path: Path) -> None:
    rows = [{"task": task, "history": [{"user": task, "bot": "a"}] * 2} for task in ("CM", "GR", "AR")]
    loaded = chat(tmp_path, rows, where={"task": ["CM", "AR"]})
    assert [dialogue.query for dialogue in loaded.dialogues] == ["CM", "AR"]
    assert loaded.report.passed == {"task is not CM or AR": 1}


def test_prompts_without_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the turns are prompts only"):
        chat(tmp_path, [{"question_id": 1, "category": "writing", "turns": ["A?", "B?"]}])


def test_pairs_and_texts(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", SYSTEM)
    settings = DataSettings(source="chat", path=str(path), options={"system": "drop"})
    assert load_pairs(settings) == KITE
    assert load_texts(settings)[0] == "I have a red kite. How nice!"
    alpaca = write(tmp_path, "b.json", [{"instruction": "Count.", "input": "to 2", "output": "1 2"}])
    result = inspect_source(alpaca, write=tmp_path / "out")
    assert (result["content"], result["round_trip"]) == ("pairs", 1)
    assert load_pairs(DataSettings(source="parquet", path=result["written"])) == [("Count.\nto 2", "1 2")]


def test_lists_of_traits_or_tags_are_no_conversation(tmp_path: Path) -> None:
    traits = [{"personality": ["I ski.", "I cook."], "utterances": [{"candidates": ["Hi."], "history": ["Hello."]}]}]
    with pytest.raises(UserError, match=r"no reader fits its columns \(personality, utterances\)"):
        inspect_source(write(tmp_path, "traits.jsonl", traits))
    tagged = write(tmp_path, "tagged.jsonl", [{"text": "A story.", "tags": ["short", "sad"]}])
    assert inspect_source(tagged)["content"] == "texts"
    named = [{"personality": ["I ski.", "So do I.", "Where?", "At home."]}]
    assert queries(chat(tmp_path, named, turns="personality")) == [["I ski.", "Where?"]]


def test_what_stands_beside_an_instruction_goes_with_it(tmp_path: Path) -> None:
    for row, pair in (
        ({"instruction": "Add.", "input": 3, "output": 4}, ("Add.\n3", "4")),
        (
            {"instruction": "When?", "context": "It rained in May.", "response": "May"},
            ("When?\nIt rained in May.", "May"),
        ),
    ):
        path = write(tmp_path, "a.jsonl", [row])
        assert load_pairs(DataSettings(source="chat", path=str(path))) == [pair]


def test_no_turns_and_refusals(tmp_path: Path) -> None:
    refused = [*said(KITE[:1], "role", "content", "user", "assistant"), {"role": "user", "content": "And?"},
               {"role": "assistant", "content": None, "refusal": "I cannot say."}]  # fmt: skip
    loaded = chat(tmp_path, [{"messages": refused}, {"messages": None}, {"messages": []}])
    assert loaded.dialogues[0].interactions[-1].answer == "I cannot say."
    assert loaded.report.passed == {"no query with an answer": 2}
    assert loaded.report.drops == [], "nothing was there to be dropped"


def test_a_gzip_file_that_breaks_off(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl.gz", SYSTEM * 5000)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="the gzip file breaks off"):
        chat(tmp_path, path)
    assert len(chat(tmp_path, path, skip=True)) > 1000


def test_dialogues_equal_after_a_round_trip(tmp_path: Path) -> None:
    loaded = chat(tmp_path, SYSTEM)
    assert isinstance(loaded.dialogues[0], Dialogue)
    assert inspect_source(tmp_path / "rows.jsonl", write=tmp_path / "out")["round_trip"] == 1
    again = load_dialogues(DataSettings(source="parquet", path=str(tmp_path / "out" / "train.parquet")))
    assert again.dialogues == loaded.dialogues

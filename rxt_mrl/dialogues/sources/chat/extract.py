"""From a row and its layout to turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..rows import RowError
from .layouts import Layout, as_list, at, roles_for, tail_of
from .names import ROLES, named, role_name, turn_keys
from .options import ChatOptions
from .trees import branch_of, message_role, messages_in
from .turns import Tally, Turn, call_text, content_of

Plain = str | int | float


def turns_of(row: Any, layout: Layout, options: ChatOptions, tally: Tally) -> list[Turn]:
    """The turns of a row, in order; turns that cannot be among them are counted in ``tally``.

    Raises:
        RowError: the row holds its turns in another way than its layout.
    """
    if isinstance(row, list):
        row = {"turns": row}
    if not isinstance(row, Mapping):
        raise RowError(f"the row is {type(row).__name__}, an object with columns is needed")
    if layout.name == "tree":
        return _tree(row, tally)
    if layout.name == "passage":
        return _passage(row, layout)
    if layout.name == "instruction":
        return _instruction(row, layout, tally)
    items = [] if layout.turns in row and row[layout.turns] is None else as_list(at(row, layout.turns))
    if items is None:
        known = ", ".join(map(str, row)) or "none"
        raise RowError(f"column '{layout.turns}' holds no list of turns; there are: {known}")
    if layout.name == "pairs":
        turns = _pairs(items, layout)
    elif layout.name == "alternating":
        turns = _alternating(row, items, layout)
    else:
        turns = _messages([*items, *tail_of(row, layout)], layout, tally)
    return [*_system(row), *turns]


def _system(row: Mapping[str, Any]) -> list[Turn]:
    """A system message in a column of its own."""
    name = named(row, ("system", "system_prompt", "system_message"))
    value = None if name is None else row[name]
    return [Turn("system", value)] if isinstance(value, str) and value.strip() else []


def _messages(items: list[Any], layout: Layout, tally: Tally) -> list[Turn]:
    found: list[tuple[str, Any, Mapping[str, Any]]] = []
    for number, item in enumerate(items, start=1):
        if item is None:
            tally.dropped["empty"] += 1
        elif isinstance(item, Mapping) and layout.first in item and (layout.second in item or _calls(item)):
            found.append((role_name(item[layout.first]), item.get(layout.second), item))
        elif isinstance(item, Mapping) and (keys := turn_keys(item)):
            found.append((role_name(item[keys[0]]), item.get(keys[1]), item))
        elif isinstance(item, Mapping) and len(item) == 1 and str(next(iter(item))).lower() in layout.role_of:
            name, value = next(iter(item.items()))
            found.append((str(name), value, item))
        else:
            keys_there = ", ".join(map(str, item)) if isinstance(item, Mapping) else type(item).__name__
            needed = f"'{layout.first}' and '{layout.second}'" if layout.first else "one role"
            raise RowError(f"turn {number} has no {needed}; there are: {keys_there or 'none'}")
    roles = roles_for([name for name, _, _ in found], layout)
    turns = []
    for name, value, item in found:
        text, calls, results = content_of(value or item.get("refusal") or value, tally.parts)
        calls = "\n".join(filter(None, (calls, *map(call_text, _calls(item)))))
        role = roles[name]
        if role == "call":
            text, calls = (text, "") if text else (calls, "")
        if results and not text:
            role, text = "tool", results
        elif results:
            text = f"{results}\n{text}"
        identity = item.get("dia_id", item.get("id", ""))
        turns.append(Turn(role, text, calls, str(identity) if isinstance(identity, str | int) else ""))
    return turns


def _calls(item: Mapping[str, Any]) -> list[Any]:
    calls = item.get("tool_calls")
    single = item.get("function_call")
    return [*(calls if isinstance(calls, list) else ()), *([single] if isinstance(single, Mapping) else ())]


def _pairs(items: list[Any], layout: Layout) -> list[Turn]:
    turns = []
    for number, item in enumerate(items, start=1):
        if isinstance(item, list | tuple) and len(item) == 2:
            query, answer = item
        elif isinstance(item, Mapping) and layout.first in item:
            query, answer = item[layout.first], item.get(layout.second)
        else:
            raise RowError(f"turn {number} is no pair of '{layout.first}' and '{layout.second}'")
        turns += [Turn("user", _text(query, number)), Turn("assistant", _text(answer, number))]
    return turns


def _text(value: Any, number: int) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return str(value)
    raise RowError(f"turn {number} is {type(value).__name__}, text is needed")


def _alternating(row: Mapping[str, Any], items: list[Any], layout: Layout) -> list[Turn]:
    texts = []
    for number, item in enumerate(items, start=1):
        value = item.get(layout.second) if isinstance(item, Mapping) else item
        texts.append(_text(value, number))
    references = row.get("reference", row.get("references"))
    if isinstance(references, list | tuple) and len(references) == len(texts):  # MT-Bench: prompts, and their answers
        answers = [_text(answer, number) for number, answer in enumerate(references, start=1)]
        return [
            turn for pair in zip(texts, answers, strict=True)
            for turn in (Turn("user", pair[0]), Turn("assistant", pair[1]))
        ]  # fmt: skip
    if "question_id" in row and "category" in row:
        raise RowError("the turns are prompts only, and answers to them are needed (a column 'reference')")
    return [Turn("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)]


def _instruction(row: Mapping[str, Any], layout: Layout, tally: Tally) -> list[Turn]:
    """Alpaca: an instruction with its input and output, and the pairs before it."""
    if layout.first not in row or layout.second not in row:
        raise RowError(f"columns '{layout.first}' and '{layout.second}' are needed; there are: {', '.join(row)}")
    for name, value in row.items():
        if str(name).lower() == "interactions" and isinstance(value, list) and value:
            raise RowError(
                f"a dialogue of the published schema, with '{name}': jsonl, parquet or arrow reads it, not chat"
            )
    history = as_list(row.get("history")) if row.get("history") is not None else []
    turns = _system(row)
    if history and all(isinstance(item, str) for item in history):
        turns += _alternating({}, history, layout)
    elif history and turn_keys(history[0]):
        turns += _messages(history, Layout("messages", "history", *(turn_keys(history[0]) or ())), tally)
    else:
        turns += _pairs(history or [], layout)
    beside = [name for name in ("input", "context") if name != layout.first and isinstance(row.get(name), Plain)]
    texts = [_text(row[name], len(turns) + 1) for name in (layout.first, *beside)]
    query = "\n".join(text for text in texts if text.strip())
    return [*turns, Turn("user", query), Turn("assistant", _text(row[layout.second], len(turns) + 2))]


def _passage(row: Mapping[str, Any], layout: Layout) -> list[Turn]:
    """A text, and questions about it with their answers (CoQA, QuAC, SQuAD)."""
    text = row.get(layout.first)
    if not isinstance(text, str):
        raise RowError(f"column '{layout.first}' is {type(text).__name__}, text is needed")
    questions = as_list(row.get(layout.second))
    if questions is None:
        raise RowError(f"column '{layout.second}' holds no list of questions")
    answers = row.get("answers")
    if isinstance(answers, Mapping):
        column = named(answers, ("input_text", "texts", "text"))
        answers = None if column is None else answers[column]
    if answers is None and all(isinstance(item, Mapping) for item in questions):
        answers = [item.get("answer", item.get("answers")) for item in questions]
    if not isinstance(answers, list) or len(answers) != len(questions):
        count = len(answers) if isinstance(answers, list) else 0
        raise RowError(f"{len(questions)} questions have {count} answers")
    turns = [Turn("system", text)]
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True), start=1):
        turns += [Turn("user", _said(question, number)), Turn("assistant", _said(answer, number))]
    return turns


def _said(value: Any, number: int) -> str:
    """A question or an answer: a text, one in a mapping, or the first of several."""
    while not isinstance(value, str) and value:
        if isinstance(value, Mapping):
            key = named(value, ("input_text", "question", "text", "answer", "texts", "span_text"))
            value = None if key is None else value[key]
        elif isinstance(value, list | tuple):
            value = value[0]
        else:
            break
    return _text(value or "", number)


def _tree(row: Mapping[str, Any], tally: Tally) -> list[Turn]:
    branch, others = branch_of(row)
    if others:
        tally.dropped["other branches"] += others
    turns = []
    for message in branch:
        value = message.get("text", message.get("content"))
        text, calls, results = content_of(value, tally.parts)
        name = message_role(message).lower()
        turns.append(Turn(ROLES.get(name, "user"), text or results, calls))
    return turns


def lost_turns(row: Any, layout: Layout) -> int:
    """How many turns a row has that cannot be used, as far as its list tells."""
    if isinstance(row, list):
        return len(row)
    if layout.name == "tree":
        return messages_in(row) if isinstance(row, Mapping) else 0
    items = as_list(at(row, layout.turns)) if isinstance(row, Mapping) and layout.turns else None
    return len(items or ()) * (2 if layout.name == "pairs" else 1)

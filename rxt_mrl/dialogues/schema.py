"""Dialogues as rows of the published TinyStories-MRL schema, and as a ``datasets.Dataset``.

A row is ``{query, answer, interactions: [{query, answer, asks}, ...]}``. ``asks`` is ours and optional: the facts
that a right answer must contain, each ``{value, told_at, wrong, slot, ability}`` (see ``contracts.Ask``). Rows without
it are read too; their interactions have no annotated facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..contracts import NEVER_TOLD, OWN_WORDS, Ask, Dialogue, Interaction
from ..errors import UserError
from ..texts import half_character

if TYPE_CHECKING:
    from datasets import Dataset, Features

Row = dict[str, Any]


def features(*, asks: bool = True) -> Features:
    """The columns' types, given explicitly: inference would fail on empty lists of facts."""
    from datasets import Features, List, Value

    text = Value("string")
    interaction: dict[str, Any] = {"query": text, "answer": text}
    if asks:
        interaction["asks"] = List(
            {"value": text, "told_at": Value("int64"), "wrong": List(text), "slot": text, "ability": text}
        )
    return Features({"query": text, "answer": text, "interactions": List(interaction)})


def to_row(dialogue: Dialogue, *, asks: bool = True) -> Row:
    """One dialogue as a row of plain Python values; ``asks=False`` gives the published columns only."""
    interactions: list[dict[str, Any]] = []
    for turn in dialogue.interactions:
        item: dict[str, Any] = {"query": turn.query, "answer": turn.answer}
        if asks:
            item["asks"] = [
                {
                    "value": ask.value,
                    "told_at": ask.told_at,
                    "wrong": list(ask.wrong),
                    "slot": ask.slot,
                    "ability": ask.ability,
                }
                for ask in turn.asks
            ]
        interactions.append({**turn.columns, **item})
    return {**dialogue.columns, "query": dialogue.query, "answer": dialogue.answer, "interactions": interactions}


def from_row(row: Mapping[str, Any], *, where: str = "row") -> Dialogue:
    """A row as a dialogue, checked.

    Args:
        row: the columns ``query``, ``answer``, ``interactions``; others travel with the dialogue.
        where: names the row in errors, for example ``"train.parquet row 12"``.

    Raises:
        UserError: a missing column, a wrong type, an empty text or half a character, or a fact told after it is asked.
    """
    first = _texts(row, where)
    items = row.get("interactions")
    if isinstance(items, Mapping):  # older `datasets` read a list of structs as a struct of lists
        items = _structs(items, f"{where}: interactions")
    if not isinstance(items, Sequence) or isinstance(items, str | bytes):
        raise UserError(f"{where}: interactions is {type(items).__name__}, a list of {{query, answer}} is needed")
    turns: list[Interaction] = []
    for index, item in enumerate(items, start=1):
        place = f"{where}: interaction {index}"
        if not isinstance(item, Mapping):
            raise UserError(f"{place} is {type(item).__name__}, {{query, answer}} is needed")
        query, answer = _texts(item, place)
        asks = tuple(_ask(ask, index, place) for ask in _ask_list(item.get("asks"), place))
        turns.append(Interaction(query, answer, asks, _others(item, "query", "answer", "asks")))
    return Dialogue(*first, tuple(turns), _others(row, "query", "answer", "interactions"))


def rows_of_table(given: Iterable[Any]) -> Iterable[Any]:
    """The rows of a table of pandas, which would be iterated by columns; anything else as it is."""
    if not (hasattr(given, "to_dict") and hasattr(given, "columns")):
        return given
    from datasets import Dataset

    return Dataset.from_pandas(given, preserve_index=False)


def _others(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The other columns of a row, with the values that they have."""
    return {name: value for name, value in row.items() if name not in names}


def _texts(item: Mapping[str, Any], where: str) -> tuple[str, str]:
    """The ``query`` and ``answer`` of a mapping: strings that are not blank."""
    for name in ("query", "answer"):
        value = item.get(name)
        if not isinstance(value, str):
            found = "missing" if value is None else type(value).__name__
            raise UserError(f"{where}: {name} is {found}, text is needed")
        if not value.strip():
            raise UserError(f"{where}: {name} is empty")
        if problem := half_character(value):
            raise UserError(f"{where}: {name} holds {problem}")
    return item["query"], item["answer"]


def _structs(columns: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """A struct of lists as the list of structs that it was."""
    for name, column in columns.items():
        if not isinstance(column, list | tuple):
            raise UserError(f"{where}.{name} is {type(column).__name__}, a list is needed")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise UserError(f"{where} has columns of different lengths {sorted(lengths)}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _ask_list(asks: object, where: str) -> list[Any]:
    """Facts as a list of mappings, whichever way a reader laid them out."""
    if asks is None:
        return []
    if isinstance(asks, Mapping):
        return _structs(asks, f"{where}: asks")
    if not isinstance(asks, Sequence) or isinstance(asks, str | bytes):
        raise UserError(f"{where}: asks is {type(asks).__name__}, a list of {{value, told_at}} is needed")
    return list(asks)


def _ask(item: object, index: int, where: str) -> Ask:
    """One annotated fact of interaction ``index``."""
    if not isinstance(item, Mapping):
        raise UserError(f"{where}: an ask is {type(item).__name__}, {{value, told_at}} is needed")
    value, told_at, slot = item.get("value"), item.get("told_at"), str(item.get("slot") or "")
    never_told = told_at == NEVER_TOLD and value == ""
    if not isinstance(value, str) or not (value.strip() or never_told):
        raise UserError(f"{where}: ask value {value!r} is not a text")
    last = index if slot == OWN_WORDS else index - 1
    if isinstance(told_at, bool) or not isinstance(told_at, int) or not (never_told or 0 <= told_at <= last):
        raise UserError(f"{where}: told_at {told_at!r} is not an earlier interaction (0 to {index - 1})")
    wrong = item.get("wrong")
    if wrong is not None and (
        isinstance(wrong, str) or not isinstance(wrong, Sequence) or not all(isinstance(text, str) for text in wrong)
    ):
        raise UserError(f"{where}: wrong {wrong!r} is not a list of texts")
    ability = str(item.get("ability") or "")
    for text in (value, slot, ability, *(wrong or ())):
        if problem := half_character(text):
            raise UserError(f"{where}: an ask holds {problem}")
    return Ask(value, told_at, tuple(wrong or ()), slot, ability)


def to_dataset(dialogues: Iterable[Dialogue], *, asks: bool = True) -> Dataset:
    """Dialogues as a ``datasets.Dataset`` with explicit column types."""
    from datasets import Dataset

    rows = [to_row(dialogue, asks=asks) for dialogue in dialogues]
    columns = {name: [row[name] for row in rows] for name in ("query", "answer", "interactions")}
    return Dataset.from_dict(columns, features=features(asks=asks))


def from_dataset(rows: Iterable[Mapping[str, Any]], *, name: str = "dataset") -> list[Dialogue]:
    """A ``datasets.Dataset`` (or any rows of the schema) as dialogues; errors name the row.

    Raises:
        UserError: see :func:`from_row`.
    """
    return [from_row(row, where=f"{name} row {index}") for index, row in enumerate(rows)]

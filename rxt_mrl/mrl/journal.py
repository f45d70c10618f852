"""Rollouts as JSON lines that a person can read, and that can be scored again by another reward."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rxt_mrl.contracts import Ask, Columns, Mode, RewardContext, RewardSpec, Strategy, TokenText
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.dialogues.template import pad_rows
from rxt_mrl.errors import UserError
from rxt_mrl.files import WriteError
from rxt_mrl.runs import ranks
from rxt_mrl.scoring import WeightedReward

from .answers import first_of_alike
from .trajectories import Trajectories


class Journal:
    """Writes the rollouts of one stage: a line for each different answer to a query.

    Args:
        path: a ``.jsonl`` file, made with its folder if it is not there.
        tokenizer: of the ids.
        log: how many episodes of each update are written.
        position: bytes of the file to keep: what comes after them is from updates that will be done again.
    """

    def __init__(
        self, path: Path, tokenizer: DialogueTokenizer, log: Literal["all"] | int = "all", position: int = 0
    ) -> None:
        self.path = path
        self._tokenizer = tokenizer
        self._log = log
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() > position:
                file.truncate(position)

    @property
    def position(self) -> int:
        """Bytes written."""
        return self.path.stat().st_size

    def write(self, batch: Trajectories, *, stage: str, update: int, strategy: str = "multi_step") -> None:
        """Append the episodes of an update."""
        count = len(batch) if self._log == "all" else min(len(batch), self._log)
        if not count or not ranks.is_main():
            return
        lines = _lines(batch.select(range(count)), self._tokenizer)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                for line in lines:
                    line = {"stage": stage, "update": update, "strategy": strategy, **line}
                    file.write(json.dumps(line, default=_as_json) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(self.path, error) from error


def _lines(batch: Trajectories, tokenizer: DialogueTokenizer) -> Iterator[dict[str, Any]]:
    answered = (batch.written_ids == tokenizer.answer_id).cumsum(-1) > 0
    texts = {
        "told": (batch.written_ids, batch.written_mask & ~answered),
        "said": (batch.written_ids, batch.written_mask & answered),
        "query": (batch.query_ids, batch.query_mask),
        "reference": (batch.reference_ids, batch.reference_mask),
        "generated": (batch.action_ids.flatten(1, 2), batch.action_mask.flatten(1, 2)),
    }
    text = {name: tokenizer.decode_batch(ids.flatten(0, 1), mask.flatten(0, 1)) for name, (ids, mask) in texts.items()}
    first, earned = first_of_alike(batch), batch.rewards.round(decimals=6)
    for episode, step in product(range(len(batch)), range(batch.steps)):
        row = episode * batch.steps + step
        alike = list(zip(first[episode, step].tolist(), earned[episode, step].tolist(), strict=True))
        carried = int(batch.carried[episode, step])
        for one in sorted(set(alike)):  # a reward with a state may tell identical answers apart
            answer = alike.index(one)
            place = (episode, step, answer)
            yield {
                "episode": int(batch.dialogues[episode]),
                "sample": episode,
                "step": step + 1,
                "steps": batch.steps,
                "mode": batch.mode[step] if batch.mode else "standard",
                "memory_write": {"query": text["told"][row], "answer": text["said"][row]},
                "query": text["query"][row],
                "generated": text["generated"][row * batch.answers + answer],
                "times": alike.count(one),
                "carried": carried >= 0 and alike[carried] == one,
                "reference": text["reference"][row],
                "asks": [_ask(ask) for ask in batch.asks[episode][step]] if batch.asks else [],
                **({"columns": dict(others)} if (others := _columns(batch, episode, step)) else {}),
                "reward": round(float(batch.rewards[place]), 6) if bool(batch.valid[place]) else None,
                "terms": _values(batch.terms, place),
                "metrics": _values(batch.metrics, place),
            }


def _columns(batch: Trajectories, episode: int, step: int) -> Mapping[str, Any]:
    return batch.columns[episode][step] if batch.columns else {}


def _values(scores: Mapping[str, Tensor], place: tuple[int, ...]) -> dict[str, float | None]:
    values = {name: float(score[place]) for name, score in scores.items()}
    return {name: None if math.isnan(value) else round(value, 6) for name, value in values.items()}


def _ask(ask: Ask) -> dict[str, Any]:
    return {
        "value": ask.value,
        "told_at": ask.told_at,
        "wrong": list(ask.wrong),
        "slot": ask.slot,
        "ability": ask.ability,
    }


def rescore(
    path: Path,
    reward: RewardSpec,
    tokenizer: DialogueTokenizer,
    *,
    embedding: Tensor | None = None,
    broken: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Score stored rollouts with another reward.

    Args:
        path: a file that :class:`Journal` wrote.
        reward: the new reward.
        tokenizer: texts become tokens again, for rewards on tokens.
        embedding: frozen token embedding, for rewards that need one.
        broken: told of lines that are not a journal's, and of those whose episode then lacks a step; both are left
            out. None: the first one is an error.

    Returns:
        The lines of the file in their order, with new ``reward``, ``terms`` and ``metrics``, and the old reward as
        ``reward_before``.

    Raises:
        UserError: for a missing file, or a line that is not one of a journal.
    """
    scorer = WeightedReward(reward)
    rows: list[dict[str, Any]] = []
    history: dict[tuple[Any, ...], list[tuple[str, str]]] = {}
    for place, row in _read(path, broken):  # answers to one query stand next to each other and share what was written
        told = history.get(_episode(row), []) if row["step"] > 1 else []
        if len(told) < row["step"] - 1:
            _broken(f"{place}: step {row['step']} of an episode whose step {len(told) + 1} is not there", broken)
            continue
        history[_episode(row)] = row["_history"] = [*told[: row["step"] - 1], _interaction(row)]
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: no rollouts in it")
    order = sorted(range(len(rows)), key=lambda n: (*_group(rows[n]), n))
    for _, numbers in groupby(order, key=lambda n: _group(rows[n])):
        part = [rows[n] for n in numbers]
        result = scorer(_context(part, tokenizer, embedding))
        for n, row in enumerate(part):
            row["reward_before"] = row["reward"]
            row["reward"] = round(float(result.total[n]), 6) if bool(result.valid[n]) else None
            for kind, scores in (("terms", result.terms), ("metrics", result.metrics)):
                row[kind] = _values(scores, (n,))
    for row in rows:
        del row["_history"]
    return rows


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("stage", "strategy", "mode", "query", "generated", "reference"), str),
    **dict.fromkeys(("update", "sample", "step", "steps"), int),
    "memory_write": dict,
    "asks": list,
    "reward": (int, float, type(None)),
}
"""What a line of a journal has."""


def _read(path: Path, broken: list[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, and the line; see :func:`rescore`."""
    if not path.is_file():
        raise UserError(f"no rollouts at {path}: expected a .jsonl file of a run's rollouts folder")
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
                problem = _problem(row)
            except ValueError as error:
                problem = f"not a JSON object ({error})"
            if problem:
                _broken(f"{place}: {problem}", broken)
            else:
                yield place, row


def _problem(row: Any) -> str:
    """What keeps a value from being a line of a journal; empty: nothing."""
    if not isinstance(row, dict):
        return f"not a JSON object ({type(row).__name__})"
    for name, kind in _FIELDS.items():
        if name not in row:
            return f"not a rollout, {name!r} is missing"
        if not isinstance(row[name], kind):
            return f"not a rollout, {name} is {row[name]!r}"
    for name, kind in (("columns", dict), ("times", int)):  # which not every line has
        if not isinstance(row.get(name, kind()), kind):
            return f"not a rollout, {name} is {row[name]!r}"
    if row["mode"] not in get_args(Mode) or row["strategy"] not in get_args(Strategy):
        return f"not a rollout, mode {row['mode']!r} of strategy {row['strategy']!r}"
    said, asks = row["memory_write"], row["asks"]
    if not all(isinstance(said.get(name), str) for name in ("query", "answer")):
        return "not a rollout, memory_write needs query and answer"
    if not all(isinstance(ask, dict) and {"value", "told_at", "wrong", "slot"} <= ask.keys() for ask in asks):
        return "not a rollout, asks need value, told_at, wrong and slot"
    if not 1 <= row["step"] <= row["steps"]:
        return f"not a rollout, step {row['step']} of {row['steps']}"
    return ""


def _broken(problem: str, broken: list[str] | None) -> None:
    if broken is None:
        raise UserError(problem)
    broken.append(problem)


def _group(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["stage"], row["update"], row["step"]


def _episode(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["stage"], row["update"], row["sample"]


def _interaction(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["memory_write"]["query"], row["memory_write"]["answer"]


def _context(
    rows: Sequence[Mapping[str, Any]], tokenizer: DialogueTokenizer, embedding: Tensor | None
) -> RewardContext:
    def tokens(encoded: Sequence[list[int]]) -> TokenText:
        ids, mask = pad_rows(encoded, pad_id=tokenizer.pad_id, width=max(1, *(len(row) for row in encoded)))
        return tokenizer.token_text(ids, mask)

    first = rows[0]
    return RewardContext(
        query=tokens([tokenizer.encode_query(row["query"]) for row in rows]),
        generated=tokens([tokenizer.encode_answer(row["generated"]) for row in rows]),
        reference=tokens([tokenizer.encode_answer(row["reference"]) for row in rows]),
        history=tuple(
            tokens(
                [
                    tokenizer.encode_query(row["_history"][turn][0]) + tokenizer.encode_answer(row["_history"][turn][1])
                    for row in rows
                ]
            )
            for turn in range(first["step"])
        ),
        asks=tuple(
            tuple(
                Ask(ask["value"], ask["told_at"], tuple(ask["wrong"]), ask["slot"], ask.get("ability", ""))
                for ask in row["asks"]
            )
            for row in rows
        ),
        step=first["step"],
        steps=first["steps"],
        strategy=first["strategy"],
        mode=first["mode"],
        embedding=None if embedding is None else torch.as_tensor(embedding),
        columns=Columns.of([row.get("columns", {}) for row in rows]),
    )


def _as_json(value: Any) -> Any:
    """A value of a column that JSON has no form for: arrays as lists, dates and the like as texts."""
    return value.tolist() if hasattr(value, "tolist") else str(value)

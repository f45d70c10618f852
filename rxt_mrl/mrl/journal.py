"""Rollouts as JSON lines that a person can read, and that can be scored again by another reward."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rxt_mrl.contracts import Ask, Columns, RewardContext, RewardSpec, TokenText
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.dialogues.template import pad_rows
from rxt_mrl.errors import UserError
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
        if not count:
            return
        lines = _lines(batch.select(range(count)), self._tokenizer)
        with self.path.open("a", encoding="utf-8") as file:
            for line in lines:
                line = {"stage": stage, "update": update, "strategy": strategy, **line}
                file.write(json.dumps(line, default=_as_json) + "\n")
            file.flush()
            os.fsync(file.fileno())


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
    first = first_of_alike(batch)
    for episode, step in product(range(len(batch)), range(batch.steps)):
        row = episode * batch.steps + step
        alike = first[episode, step].tolist()
        carried = int(batch.carried[episode, step])
        for answer in sorted(set(alike)):
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
                "times": alike.count(answer),
                "carried": carried >= 0 and alike[carried] == answer,
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
    path: Path, reward: RewardSpec, tokenizer: DialogueTokenizer, *, embedding: Tensor | None = None
) -> list[dict[str, Any]]:
    """Score stored rollouts with another reward.

    Args:
        path: a file that :class:`Journal` wrote.
        reward: the new reward.
        tokenizer: texts become tokens again, for rewards on tokens.
        embedding: frozen token embedding, for rewards that need one.

    Returns:
        The lines of the file in their order, with new ``reward``, ``terms`` and ``metrics``, and the old reward as
        ``reward_before``.

    Raises:
        UserError: for a missing file, or a line that is not one of a journal.
    """
    scorer = WeightedReward(reward)
    rows = list(_read(path))
    history: dict[tuple[Any, ...], list[tuple[str, str]]] = {}
    for row in rows:  # the answers to one query stand next to each other and share what was written before
        told = history.get(_episode(row), []) if row["step"] > 1 else []
        history[_episode(row)] = row["_history"] = [*told[: row["step"] - 1], _interaction(row)]
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


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"no rollouts at {path}: expected a .jsonl file of a run's rollouts folder")
    needed = {"stage", "update", "sample", "step", "steps", "query", "generated", "reference", "memory_write", "asks"}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            missing = needed - set(row)
        except (json.JSONDecodeError, TypeError) as error:
            raise UserError(f"{path}, line {number}: not a JSON object ({error})") from None
        if missing:
            raise UserError(f"{path}, line {number}: not a rollout, {sorted(missing)[0]!r} is missing")
        yield row


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
        asks=tuple(tuple(Ask(**{**ask, "wrong": tuple(ask["wrong"])}) for ask in row["asks"]) for row in rows),
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

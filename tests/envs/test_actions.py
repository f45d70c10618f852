from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from rxt_mrl.envs.actions import accept

from rxt_mrl.errors import UserError

EOS = 3


def accepted(ids: Any, mask: Any, limit: int = 4) -> tuple[list[list[int]], list[list[int]]]:
    rows = len(ids)
    action = accept({"ids": np.array(ids), "mask": np.array(mask)}, rows=rows, limit=limit, vocab_size=20, eos_id=EOS)
    assert (action["ids"].dtype, action["mask"].dtype) == (np.int64, np.int8)
    assert action["ids"].shape == (rows, limit)
    return action["ids"].tolist(), action["mask"].tolist()


def test_narrow_answers_are_padded() -> None:
    assert accepted([[8, 3]], [[1, 1]]) == ([[8, 3, 0, 0]], [[1, 1, 0, 0]])


def test_an_empty_answer_is_legal() -> None:
    assert accepted([[8, 3]], [[0, 0]]) == ([[0, 0, 0, 0]], [[0, 0, 0, 0]])
    assert accepted(np.zeros((1, 0), dtype=int), np.zeros((1, 0), dtype=int)) == ([[0] * 4], [[0] * 4])


def test_padding_may_exceed_the_limit_and_hold_anything() -> None:
    assert accepted([[8, 9, 9, 9, 99, -1]], [[1, 0, 0, 0, 0, 0]]) == ([[8, 0, 0, 0]], [[1, 0, 0, 0]])


def test_the_first_eos_ends_an_answer() -> None:
    assert accepted([[8, 3, 9, 3], [3, 8, 8, 8]], [[1] * 4] * 2) == (
        [[8, 3, 0, 0], [3, 0, 0, 0]],
        [[1, 1, 0, 0], [1, 0, 0, 0]],
    )


def test_special_tokens_within_an_answer_are_tokens() -> None:
    assert accepted([[0, 5, 6, 2]], [[1] * 4]) == ([[0, 5, 6, 2]], [[1] * 4])


def test_tensors_and_boolean_masks_are_accepted() -> None:
    action = accept(
        {"ids": torch.tensor([[8, 3]]), "mask": torch.tensor([[True, True]])},
        rows=1,
        limit=2,
        vocab_size=20,
        eos_id=EOS,
    )
    assert action["ids"].tolist() == [[8, 3]]


def test_the_given_arrays_are_left_alone() -> None:
    ids, mask = np.array([[8, 3, 9]]), np.ones((1, 3), dtype=np.int8)
    ids.flags.writeable = mask.flags.writeable = False  # as Ray hands them over
    accept({"ids": ids, "mask": mask}, rows=1, limit=3, vocab_size=20, eos_id=EOS)


@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        ([[8, 9], [8, 9]], [[1, 1], [0, 1]], "row 1: the mask has tokens after padding"),
        ([[8, 20]], [[1, 1]], r"row 0: ids are 0 \.\. 19, got 20"),
        ([[8, -1]], [[1, 1]], "got -1"),
        ([[8] * 5], [[1] * 5], r"row 0: an answer has at most 4 tokens \(max_new_tokens\)"),
        ([[8, 9]], [[1, 2]], "0 and 1 only"),
        ([[8.0, 9.0]], [[1, 1]], "integers, got float64"),
        ([8, 9], [1, 1], r"got \(2,\)"),
        ([[8, 9]], [[1]], r"got \(1, 2\) and \(1, 1\)"),
    ],
)
def test_garbage_is_refused_by_name(ids: Any, mask: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        accepted(ids, mask)


@pytest.mark.parametrize("action", ["hello", {"ids": np.zeros((1, 1))}, None, {"ids": [[1]], "mask": [[1]], "x": 1}])
def test_other_things_are_no_action(action: Any) -> None:
    with pytest.raises(UserError, match="keys ids and mask"):
        accept(action, rows=1, limit=4, vocab_size=20, eos_id=EOS)

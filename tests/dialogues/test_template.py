import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rxt_mrl.dialogues import join, pad_rows
from rxt_mrl.texts import Tokens, trim

ROWS = st.lists(st.tuples(*[st.lists(st.integers(1, 99), max_size=6)] * 2), min_size=1, max_size=8)


@given(ROWS, st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_join_is_concatenation(rows, spare):
    queries = pad_rows([query for query, _ in rows], width=6 + spare)
    answers = pad_rows([answer for _, answer in rows], width=6)
    joined = join(queries, answers)
    longest = max(len(query) + len(answer) for query, answer in rows)
    assert joined.ids.shape == joined.mask.shape == joined.answer_mask.shape == (len(rows), longest)
    for index, (query, answer) in enumerate(rows):
        length = len(query) + len(answer)
        assert joined.ids[index].tolist() == query + answer + [0] * (longest - length)
        assert joined.mask[index].tolist() == [True] * length + [False] * (longest - length)
        assert joined.ids[index][joined.answer_mask[index]].tolist() == answer


def test_join_keeps_leading_dimensions_and_takes_a_width():
    ids = torch.arange(1, 2 * 3 * 4 + 1).reshape(2, 3, 4)
    mask = torch.tensor([True, True, False, False]).expand(2, 3, 4)
    joined = join(Tokens(ids, mask), Tokens(ids, mask), width=7, pad_id=9)
    assert joined.ids.shape == (2, 3, 7)
    assert joined.ids[1, 2].tolist() == [21, 22, 21, 22, 9, 9, 9]
    assert joined.answer_mask[1, 2].tolist() == [False, False, True, True, False, False, False]


def test_join_errors():
    rows = pad_rows([[1, 2]])
    with pytest.raises(ValueError, match="4 tokens, and the width is 3"):
        join(rows, rows, width=3)
    with pytest.raises(ValueError, match="same leading shape"):
        join(rows, Tokens(rows.ids[0], rows.mask[0]))


def test_pad_rows():
    ids, mask = pad_rows([[5], [], [6, 7]], pad_id=1)
    assert ids.tolist() == [[5, 1], [1, 1], [6, 7]]
    assert mask.tolist() == [[True, False], [False, False], [True, True]]
    assert pad_rows([])[0].shape == (0, 0)
    with pytest.raises(ValueError, match="a row has 2 tokens, and the width is 1"):
        pad_rows([[1, 2]], width=1)


def test_trim_keeps_what_is_used():
    ids, mask = pad_rows([[1, 2], [3]], width=5)
    assert trim(ids, mask)[0].tolist() == [[1, 2], [3, 0]]
    assert trim(ids, torch.zeros_like(mask))[0].shape == (2, 1)

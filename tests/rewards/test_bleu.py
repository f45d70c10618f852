"""Token BLEU equals NLTK's, on any batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rxt_mrl.rewards import bleu as module
from rxt_mrl.rewards import ngrams
from rxt_mrl.rewards.bleu import Bleu, token_bleu

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

UNIFORM = (0.25, 0.25, 0.25, 0.25)
WEIGHTS = [UNIFORM, (0.5, 0.5), (0.2, 0.2, 0.3, 0.3), (1.0,), (0.0, 1.0), (0.1,) * 6]


def _padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows), default=0)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, : len(row)] = True
    return ids, mask


def _nltk(own: Sequence[int], others: Sequence[Sequence[int]], weights: Sequence[float], smooth: bool = True) -> float:
    function = SmoothingFunction().method4 if smooth else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(sentence_bleu(others, own, weights=tuple(weights), smoothing_function=function))


def _both_ways(own: list[list[int]], others: list[list[list[int]]], weights: Sequence[float]) -> list[torch.Tensor]:
    """Scores by the loop for few tokens and by the arrays; ``others`` is one list of rows per reference."""
    pairs = _padded(own), [_padded(rows) for rows in others]
    out = []
    for few in (10**9, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_FEW", few)
            out.append(token_bleu(*pairs, weights))
    return out


text = st.lists(st.integers(0, 5), max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(text, text, text), min_size=1, max_size=6),
    weights=st.sampled_from(WEIGHTS),
    references=st.integers(1, 2),
)
def test_equals_nltk_on_any_batch(rows: list[tuple[list[int], ...]], weights: Sequence[float], references: int) -> None:
    own = [row[0] for row in rows]
    others = [[row[1 + index] for row in rows] for index in range(references)]
    expected = [_nltk(row[0], row[1 : 1 + references], weights) for row in rows]
    for scores in _both_ways(own, others, weights):
        assert scores.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ([], [1, 2]),
        ([1], []),
        ([], []),
        ([1], [1]),
        ([1], [2]),
        ([1, 2], [2, 1]),
        ([1, 1, 1, 1], [1]),
        ([1, 2, 3], [4, 5, 6]),
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([7] * 40, [7] * 3),
    ],
)
def test_equals_nltk_on_degenerate_rows(own: list[int], other: list[int]) -> None:
    for weights in WEIGHTS:
        for scores in _both_ways([own], [[other]], weights):
            assert scores.item() == pytest.approx(_nltk(own, [other], weights), abs=1e-6)


@pytest.mark.parametrize("vocabulary", [12, 30_000, 200_000])
def test_equals_nltk_on_a_large_random_batch(vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    reference = torch.randint(0, vocabulary, (70, 64), generator=generator)
    change = torch.rand(70, 64, generator=generator) < 0.3
    ids = torch.where(change, torch.randint(0, vocabulary, (70, 64), generator=generator), reference)
    mask = torch.arange(64) < torch.randint(0, 65, (70, 1), generator=generator)
    full = torch.ones_like(mask)
    scores = token_bleu((ids, mask), [(reference, full)], UNIFORM)
    expected = [
        _nltk(row[keep].tolist(), [ref.tolist()], UNIFORM) for row, keep, ref in zip(ids, mask, reference, strict=True)
    ]
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)


def test_numbers_too_large_for_63_bits_are_renumbered(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    ids, reference = torch.randint(0, 9, (2, 30, 20), generator=generator) * 10_000_019
    mask = torch.ones(30, 20, dtype=torch.bool)
    expected = [_nltk(a.tolist(), [b.tolist()], (0.2,) * 5) for a, b in zip(ids, reference, strict=True)]
    for bits in (63, 6):  # 6: not even the renumbered ones fit
        monkeypatch.setattr(ngrams, "_KEY_BITS", bits)
        assert token_bleu((ids, mask), [(reference, mask)], (0.2,) * 5).tolist() == pytest.approx(expected, abs=1e-6)


def test_unsmoothed_is_zero_where_an_order_has_no_match() -> None:
    own, other = [[1, 2, 3, 9], [1, 2, 3, 4]], [[1, 2, 3, 4], [1, 2, 3, 4]]
    scores = token_bleu(_padded(own), [_padded(other)], UNIFORM, "none")
    assert scores.tolist() == pytest.approx(
        [_nltk(a, [b], UNIFORM, smooth=False) for a, b in zip(own, other, strict=True)]
    )
    assert scores.tolist() == [0.0, 1.0]


def test_template_tokens_and_gaps_do_not_count() -> None:
    """Masked positions in the middle of a row are left out, as if they had never been there."""
    ids = torch.tensor([[2, 10, 5, 11, 12, 13, 3, 0]])
    keep = torch.tensor([[False, True, False, True, True, True, False, False]])
    reference = _padded([[10, 11, 12, 13]])
    assert token_bleu((ids, keep), [reference], UNIFORM).item() == pytest.approx(1.0)
    context = RewardContext.from_text(["q"], ["the cat is red"], ["the cat is red"])
    assert Bleu()(context).item() == pytest.approx(1.0)


def test_rows_do_not_influence_each_other() -> None:
    generator = torch.Generator().manual_seed(3)
    ids, reference = torch.randint(7, 30, (2, 100, 40), generator=generator)
    mask = torch.ones(100, 40, dtype=torch.bool)
    together = token_bleu((ids, mask), [(reference, mask)], UNIFORM)
    alone = [
        token_bleu((ids[i : i + 1], mask[:1]), [(reference[i : i + 1], mask[:1])], UNIFORM).item() for i in range(100)
    ]
    assert together.tolist() == pytest.approx(alone, abs=1e-12)


def test_saved_interaction_as_a_second_reference() -> None:
    context = RewardContext.from_text(
        ["q"], ["my dog is called Rex"], ["the name is Rex"], history=[[("my dog is called Rex", "nice")]]
    )
    assert Bleu(with_saved=True)(context).item() > Bleu()(context).item()


@pytest.mark.parametrize("weights", [(), (-0.5, 0.5), (1.0, 1.0), (0.0,)])
def test_impossible_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="n-gram weights"):
        Bleu(weights=weights)


def test_much_faster_than_nltk() -> None:
    """Processor time at 64 x 128 tokens; the benchmark has the whole table."""
    import time

    generator = torch.Generator().manual_seed(1)
    ids, reference = torch.randint(7, 8000, (2, 64, 128), generator=generator)
    mask = torch.ones(64, 128, dtype=torch.bool)
    rows, others = ids.tolist(), reference.tolist()

    def seconds(repeats: int, ours: bool) -> float:
        best = float("inf")
        for _ in range(repeats):
            start = time.process_time()
            if ours:
                token_bleu((ids, mask), [(reference, mask)], UNIFORM)
            else:
                for row, other in zip(rows, others, strict=True):
                    _nltk(row, [other], UNIFORM)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(2, ours=False) > 5 * seconds(10, ours=True)

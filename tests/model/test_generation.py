"""Cached, batched generation: equal to the uncached model, and to itself in any batch."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, preset
from rxt_mrl.model.generation import AnswerStream, Generation, generate
from rxt_mrl.model.sampling import SamplingConfig, filtered_log_probs

SQA = {"type": "sqa", "query_groups": 2, "groups": 1}
REVERSED = {"type": "sqa", "query_groups": 1, "groups": 2}
MOE = {"experts": 4, "top_k": 2}
VARIANTS: dict[str, dict[str, Any]] = {
    "mha": {"attention": {"type": "mha"}, "cross_attention": {"type": "mha"}},
    "gqa": {"attention": {"type": "gqa", "groups": 2}, "cross_attention": {"type": "gqa", "groups": 1}},
    "mqa": {"attention": {"type": "mqa"}, "cross_attention": {"type": "mqa"}, "norm": "layer"},
    "sqa": {"attention": SQA, "cross_attention": SQA, "moe": MOE},
    "reversed": {"attention": REVERSED, "cross_attention": REVERSED, "head_norm": "rms"},
    "post-norm": {"attention": SQA, "pre_norm": False, "moe": {**MOE, "shared_experts": 2, "bias": "global"}},
}
END = 12
"""Ends answers where a test wants them of different lengths."""
EXACT = {"atol": 2e-5, "rtol": 1e-4}


def tiny(**decoder: Any) -> RxT:
    torch.manual_seed(0)
    config = preset("nano", vocab_size=40, embed_dim=16, slots=4, max_tokens=24, decoder=decoder)
    model = RxT(config).eval()
    with torch.no_grad():
        model.decoder.head.weight.mul_(3)  # distributions that are not flat
        model.decoder.head.bias[END] += 3
    return model


def prompts(lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(7, 40, (len(lengths), max(lengths)), generator=generator).masked_fill(~mask, 0)
    return ids, mask


def memories(model: RxT, batch: int, seed: int = 1) -> torch.Tensor:
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(config.num_layers, batch, config.slots, config.embed_dim, generator=generator)


def uncached(model: RxT, ids: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Logits after each token of one unpadded row, by whole sequences."""
    with torch.no_grad():
        return torch.stack([model.decode(ids[None, : end + 1], memory)[0, -1] for end in range(len(ids))])


def rows_of(answer: Generation) -> list[list[int]]:
    return [ids[mask].tolist() for ids, mask in zip(answer.ids, answer.mask, strict=True)]


@pytest.mark.parametrize("rope", ["split", "interleaved"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_cache_equals_whole_sequences_step_by_step(variant: str, rope: str) -> None:
    torch.manual_seed(0)
    model = RxT(preset("nano", vocab_size=40, slots=4, max_tokens=24, rope=rope, decoder=VARIANTS[variant])).eval()
    ids, mask = prompts([5, 9, 2])
    follow = torch.randint(0, 40, (3, 6))
    memory = memories(model, 3)
    with torch.no_grad():
        memory_kv = model.decoder.memory_kv(memory)
        cache = model.decoder.new_cache(3, 15)
        got = [model.decoder.prefill(ids, mask, memory_kv, cache)]
        steps = model.decoder.prepare_steps(15)
        got += [model.decoder.step(follow[:, t : t + 1], memory_kv, cache, steps) for t in range(6)]
    for row in range(3):
        whole = torch.cat([ids[row][mask[row]], follow[row]])
        want = uncached(model, whole, memory[:, row : row + 1])[-7:]
        torch.testing.assert_close(torch.stack(got, 1)[row], want, **EXACT)


def test_dropping_rows_from_the_cache_changes_nothing() -> None:
    model = tiny(**VARIANTS["sqa"])
    ids, mask = prompts([4, 9, 6])
    memory, token = memories(model, 3), torch.tensor([[8], [9], [10]])
    keep = torch.tensor([0, 2])
    with torch.no_grad():
        answers = []
        for drop in (False, True):
            memory_kv, cache = model.decoder.memory_kv(memory), model.decoder.new_cache(3, 12)
            model.decoder.prefill(ids, mask, memory_kv, cache)
            if drop:
                cache, memory_kv = cache.select(keep), [(k[keep], v[keep]) for k, v in memory_kv]
            steps = model.decoder.prepare_steps(12)
            for _ in range(3):
                logits = model.decoder.step(token[keep] if drop else token, memory_kv, cache, steps)
            answers.append(logits if drop else logits[keep])
    torch.testing.assert_close(*answers, **EXACT)


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 0.8}, {"top_k": 5, "top_p": 0.9}])
def test_batch_equals_single_rows(sampling: dict[str, Any]) -> None:
    model = tiny(**VARIANTS["sqa"])
    config = SamplingConfig(max_new_tokens=10, **sampling)
    ids, mask = prompts([5, 9, 2, 7, 3])
    memory, seeds = memories(model, 5), [11, 22, 33, 44, 55]
    together = generate(model, ids, mask, memory, config, seeds=seeds, eos_id=END)
    assert len({len(row) for row in rows_of(together)}) > 1, "rows of one length do not test dropping"
    for row in range(5):
        one = generate(
            model, ids[row : row + 1, : mask[row].sum()], mask[row : row + 1, : mask[row].sum()],
            memory[:, row : row + 1], config, seeds=[seeds[row]], eos_id=END,
        )  # fmt: skip
        length = one.ids.shape[1]
        assert rows_of(one)[0] == rows_of(together)[row]
        torch.testing.assert_close(one.log_probs[0], together.log_probs[row, :length], **EXACT)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_order_and_company_gives_the_same_rows(data: st.DataObject) -> None:
    model = tiny(**VARIANTS["gqa"])
    lengths = data.draw(st.lists(st.integers(1, 24), min_size=2, max_size=6))
    order = data.draw(st.permutations(range(len(lengths))))
    order = list(order)[: data.draw(st.integers(1, len(lengths)))]
    ids, mask = prompts(lengths)
    memory, seeds = memories(model, len(lengths)), list(range(100, 100 + len(lengths)))
    config = SamplingConfig(max_new_tokens=data.draw(st.integers(1, 30)), top_p=0.95)
    whole = rows_of(generate(model, ids, mask, memory, config, seeds=seeds, eos_id=END))
    chosen = [seeds[row] for row in order]
    some = generate(model, ids[order], mask[order], memory[:, order], config, seeds=chosen, eos_id=END)
    assert rows_of(some) == [whole[i] for i in order]
    for length, row in zip(lengths, whole, strict=True):
        assert length + len(row) <= 24
        assert len(row) <= config.max_new_tokens
        assert END not in row[:-1]
        if length + len(row) < 24 and len(row) < config.max_new_tokens:
            assert row[-1] == END


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7}, {"top_k": 4}, {"temperature": 1.2, "top_p": 0.8}])
def test_log_probs_are_those_of_re_scoring(sampling: dict[str, Any]) -> None:
    model = tiny(**VARIANTS["sqa"])
    config = SamplingConfig(max_new_tokens=8, **sampling)
    ids, mask = prompts([6, 4, 9])
    memory = memories(model, 3)
    answer = generate(model, ids, mask, memory, config, seeds=[1, 2, 3], eos_id=END)
    assert bool(answer.log_probs.isfinite().all())
    assert bool((answer.log_probs[~answer.mask] == 0).all())
    for row, tokens in enumerate(rows_of(answer)):
        prompt = ids[row][mask[row]]
        with torch.no_grad():
            logits = model.decode(torch.cat([prompt, torch.tensor(tokens)])[None], memory[:, row : row + 1])[0]
        scores = filtered_log_probs(logits[len(prompt) - 1 : -1], config, torch.tensor(tokens))
        want = scores.gather(1, torch.tensor(tokens)[:, None]).squeeze(1)
        torch.testing.assert_close(answer.log_probs[row, : len(tokens)], want, **EXACT)


def force(model: RxT, token: int) -> RxT:
    """Make the model say one token only."""
    with torch.no_grad():
        model.decoder.head.bias.zero_()
        model.decoder.head.bias[token] = 1e4
    return model


def test_eos_ends_a_row_and_belongs_to_it() -> None:
    model = force(tiny(), 3)
    ids, mask = prompts([4, 6])
    answer = generate(model, ids, mask, memories(model, 2), SamplingConfig(max_new_tokens=9), seeds=[0, 1])
    assert answer.ids.tolist() == [[3], [3]]
    assert answer.mask.all()


def test_no_eos_fills_the_room_and_pad_ids_are_tokens() -> None:
    model = force(tiny(), 0)
    ids, mask = prompts([24, 20, 3, 23])
    answer = generate(model, ids, mask, memories(model, 4), SamplingConfig(max_new_tokens=6), seeds=range(4))
    assert answer.mask.sum(1).tolist() == [0, 4, 6, 1]
    assert answer.ids.shape == (4, 6)
    assert not answer.ids.any()
    narrow = generate(
        model, ids[2:3, :3], mask[2:3, :3], memories(model, 1), SamplingConfig(max_new_tokens=6), seeds=[0], width=5
    )
    assert narrow.mask.shape == (1, 2)


def test_full_width_prompts_give_empty_answers() -> None:
    model = tiny()
    ids, mask = prompts([24, 24])
    answer = generate(model, ids, mask, memories(model, 2), SamplingConfig(), seeds=[0, 1])
    assert answer.ids.shape == answer.mask.shape == answer.log_probs.shape == (2, 0)


def test_seeds_govern_the_rows() -> None:
    model = tiny()
    ids, mask = prompts([5])
    ids, mask, memory = ids.expand(3, -1), mask.expand(3, -1), memories(model, 1).expand(-1, 3, -1, -1)
    config = SamplingConfig(max_new_tokens=12)
    a, b, c = rows_of(generate(model, ids, mask, memory, config, seeds=[7, 8, 7]))
    assert a == c != b
    torch.manual_seed(5)
    first = generate(model, ids, mask, memory, config)
    torch.manual_seed(5)
    assert torch.equal(first.ids, generate(model, ids, mask, memory, config).ids)
    assert rows_of(first)[0] != rows_of(first)[1]


def test_longer_limits_only_extend_an_answer() -> None:
    model = tiny()
    ids, mask = prompts([5, 8])
    memory = memories(model, 2)
    short, long = (
        rows_of(generate(model, ids, mask, memory, SamplingConfig(max_new_tokens=n), seeds=[1, 2], eos_id=None))
        for n in (4, 11)
    )
    assert [row[:4] for row in long] == short


def test_stream_gives_the_same_tokens_one_by_one() -> None:
    model = tiny(**VARIANTS["mqa"])
    ids, mask = prompts([5, 8, 22])
    memory, config = memories(model, 3), SamplingConfig(max_new_tokens=9)
    whole = generate(model, ids, mask, memory, config, seeds=[1, 2, 3], eos_id=END)
    stream = AnswerStream(model, ids, mask, memory, config, seeds=[1, 2, 3], eos_id=END)
    seen: list[list[int]] = [[], [], []]
    while not stream.done:
        step = stream.step()
        for row, token in zip(step.rows.tolist(), step.ids.tolist(), strict=True):
            seen[row].append(token)
    assert seen == rows_of(whole)
    with pytest.raises(RuntimeError, match="finished"):
        stream.step()


def test_answers_may_enter_a_loss_and_the_mode_is_restored() -> None:
    model = tiny(**VARIANTS["sqa"]).train()
    ids, mask = prompts([5, 8])
    memory = memories(model, 2)
    before = memory.clone()
    answer = generate(model, ids, mask, memory, SamplingConfig(max_new_tokens=4), seeds=[1, 2])
    assert model.training
    assert model.decoder.training
    assert torch.equal(memory, before)
    loss = (model.embedding(answer.ids).sum(-1) * answer.log_probs * answer.mask).sum()
    loss.backward()
    assert not answer.ids.is_inference()


def test_bfloat16() -> None:
    model = tiny(**VARIANTS["sqa"]).to(torch.bfloat16)
    ids, mask = prompts([5, 8, 3])
    memory = memories(model, 3).to(torch.bfloat16)
    answer = generate(model, ids, mask, memory, SamplingConfig(max_new_tokens=8, top_p=0.9), seeds=[1, 2, 3])
    assert answer.log_probs.dtype == torch.float32
    assert bool(answer.log_probs.isfinite().all())
    assert answer.mask.sum() > 3


def test_autocast() -> None:
    model = tiny(**VARIANTS["sqa"])
    ids, mask = prompts([5, 8, 3])
    config = SamplingConfig(max_new_tokens=8)
    with torch.autocast("cpu", torch.bfloat16):
        answer = generate(model, ids, mask, memories(model, 3), config, seeds=[1, 2, 3])
    assert bool(answer.log_probs.isfinite().all())
    assert answer.log_probs.dtype == torch.float32


def test_documented_snippets_run() -> None:
    page = Path(__file__).parents[2] / "docs" / "generation.md"
    names: dict[str, Any] = {}
    snippets = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        exec(snippet, names)
    assert bool(names["scores"].isfinite().all())


def test_bad_input_is_one_line() -> None:
    model = tiny()
    ids, mask = prompts([5, 8])
    memory, config = memories(model, 2), SamplingConfig(max_new_tokens=4)
    empty = mask.clone()
    empty[1] = False
    holes = mask.clone()
    holes[1, 2] = False
    wide = torch.ones(2, 25, dtype=torch.long)
    bad: list[tuple[Any, ...]] = [
        (ids.float(), mask, memory),
        (ids[0], mask[0], memory),
        (ids + 40, mask, memory),
        (ids, mask.int(), memory),
        (ids, mask[:1], memory),
        (ids, empty, memory),
        (ids, holes, memory),
        (wide, wide.bool(), memory),
        (ids, mask, memory[:, :1]),
        (ids, mask, memory[:, :, :3]),
    ]
    for case in bad:
        with pytest.raises(UserError) as error:
            generate(model, *case, config, seeds=[1, 2])
        assert "\n" not in str(error.value)
    for options in ({"seeds": [1]}, {"seeds": [1, 2], "width": 25}, {"seeds": [1, 2], "width": 7}):
        with pytest.raises(UserError):
            generate(model, ids, mask, memory, config, **options)
    with torch.no_grad():
        model.decoder.head.bias[5] = math.nan
    with pytest.raises(UserError, match="not finite"):
        generate(model, ids, mask, memory, config, seeds=[1, 2])

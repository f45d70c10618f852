import dataclasses

import pytest
import torch
from rxt_mrl.envs.repeat_previous import symbol_tokenizer

from rxt_mrl.contracts import Policy
from rxt_mrl.errors import UserError
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.model.scan import flow, memory_rows
from rxt_mrl.mrl.answers import answers_of
from rxt_mrl.mrl.config import EnvSpec
from rxt_mrl.mrl.curriculum import fixed_plan
from rxt_mrl.mrl.environment import make_setup
from rxt_mrl.mrl.policy import RxTPolicy
from rxt_mrl.mrl.pool import RolloutWorker
from rxt_mrl.mrl.replay import replay, score, supervised_loss, write_all
from rxt_mrl.mrl.trajectories import concatenate

SAMPLING = SamplingConfig(max_new_tokens=3)
FILTERED = SamplingConfig(max_new_tokens=3, temperature=0.7, top_k=4, top_p=0.8)


def replayed(model, batch, sampling, truncate=None, bounded=False):
    """Log-probabilities of all answers as the model sees them now, ``(episodes, steps, tokens)``."""
    answers = answers_of(batch, torch.ones_like(batch.rewards), drop=False)
    return replay(model, batch, answers, sampling, flow(truncate, bounded)).log_probs.view_as(batch.log_probs)


def same(one, other):
    return [
        field.name
        for field in dataclasses.fields(one)
        if isinstance(getattr(one, field.name), torch.Tensor)
        and not torch.equal(getattr(one, field.name), getattr(other, field.name))
    ]


@pytest.mark.parametrize("sampling", [SAMPLING, FILTERED], ids=["plain", "filtered"])
@pytest.mark.parametrize("changes", [{}, {"warmup": True}, {"continues": True}], ids=["fresh", "warmup", "carried"])
@pytest.mark.parametrize("memory", ["learned", "normal"])
def test_ratio_is_one_before_the_first_update(make_model, play, sampling, changes, memory):
    model = make_model(initial_memory={"kind": memory, "std": 0.5})
    batch = play(model, sampling=sampling, **changes)
    seen = replayed(model, batch, sampling)
    assert batch.action_mask.sum() > len(batch)
    assert (seen - batch.log_probs).abs().max() < 1e-4
    assert seen[~batch.action_mask].abs().sum() == 0


def test_the_policy_keeps_the_contract(model, tokenizer):
    assert isinstance(RxTPolicy(model, tokenizer, SAMPLING), Policy)
    with pytest.raises(UserError, match="seeds has 1 numbers for 2 episodes"):
        RxTPolicy(model, tokenizer, SAMPLING).reset(2, seeds=[1])


def test_an_episode_does_not_depend_on_its_neighbours(model, play):
    """No leak between rows of a batch: alone or in company, the same answers and memories."""
    together = play(model, count=6, shard=6)
    alone = play(model, count=6, shard=1)
    assert torch.equal(together.action_ids, alone.action_ids)
    torch.testing.assert_close(together.log_probs, alone.log_probs, atol=1e-5, rtol=0)
    memories = write_all(model, together)
    one = write_all(model, together.select([4]))
    torch.testing.assert_close(memories[:, :, 4:5], one, atol=1e-5, rtol=0)


def test_nothing_is_left_of_an_episode_in_the_next(model, setup_of):
    worker = RolloutWorker(model)
    worker.configure([setup_of()])
    shard = fixed_plan(4, shard=4, seed=1)[0]
    first = worker.play(shard)
    worker.play(fixed_plan(4, shard=4, seed=2)[0])
    assert same(first, worker.play(shard)) == []


def test_decoding_never_sees_earlier_text(model, play):
    """Another first interaction changes nothing for a policy whose memory is not written, and much where it is."""
    batch = play(model)
    changed = batch.written_ids.clone()
    changed[:, 0, 2] = (changed[:, 0, 2] - 7 + 1) % 3 + 7
    other = dataclasses.replace(batch, written_ids=changed)
    memories = write_all(model, batch)
    assert not torch.equal(memories, write_all(model, other))
    frozen = memories.detach()

    def without_writing(trajectories):
        ids, mask = (part.flatten(0, 2) for part in (trajectories.action_ids, trajectories.action_mask))
        return score(model, trajectories, frozen, torch.arange(len(ids)), ids, mask)[0]

    assert torch.equal(without_writing(batch), without_writing(other))
    assert not torch.equal(replayed(model, batch, SAMPLING), replayed(model, other, SAMPLING))


def test_the_gradient_of_the_last_answer_reaches_the_first_write(model, play):
    batch = play(model)
    noise = torch.zeros_like(write_all(model, batch)[0], requires_grad=True)
    start = dataclasses.replace(batch, start=model.initial_memory(len(batch), seeds=batch.seeds).detach() + noise)
    for truncate, reaches in ((None, True), (1, False), (2, False)):
        (gradient,) = torch.autograd.grad(
            replayed(model, start, SAMPLING, truncate)[:, -1].sum(), noise, allow_unused=True
        )
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) == reaches


def test_truncation_changes_the_gradient_and_not_the_values(model, play):
    batch = play(model)
    whole = replayed(model, batch, SAMPLING)
    for truncate in (1, 2, 3):
        cut = replayed(model, batch, SAMPLING, truncate)
        torch.testing.assert_close(cut, whole, atol=1e-5, rtol=0)
    assert torch.equal(replayed(model, batch, SAMPLING, bounded=True), whole)


def test_memories_are_read_in_row_order(model, play):
    batch = play(model)
    memories = write_all(model, batch)
    read = memory_rows(memories[1:])
    assert torch.equal(read[:, 2 * batch.steps + 1], memories[2, :, 2])


def test_carried_episodes_start_from_the_end_of_another_dialogue(model, setup_of, dialogues):
    worker = RolloutWorker(model)
    worker.configure([setup_of(continues=True)])
    shard = dataclasses.replace(fixed_plan(3, shard=3, seed=0)[0], before=(-1, 5, -1))
    batch = worker.play(shard)
    fresh = model.initial_memory(3, seeds=batch.seeds).detach()
    assert torch.equal(batch.start[:, 0], fresh[:, 0])
    told = dialogues.select([5]).interactions()
    expected = model.scan(model.initial_memory(1, seeds=[shard.seeds[1]]), told.ids, told.mask)[-1]
    torch.testing.assert_close(batch.start[:, 1:2], expected.detach(), atol=1e-5, rtol=0)


def test_supervised_loss_agrees_with_a_plain_computation(model, play):
    batch = play(model, count=2)
    memories = write_all(model, batch)
    losses = []
    for row in range(2):
        for step in range(batch.steps):
            query = batch.query_ids[row, step][batch.query_mask[row, step]]
            answer = batch.reference_ids[row, step][batch.reference_mask[row, step]]
            logits = model.decode(torch.cat([query, answer])[None], memories[step + 1][:, row : row + 1])[0]
            losses.append(-logits.log_softmax(-1)[len(query) - 1 : -1].gather(-1, answer[:, None]))
    torch.testing.assert_close(supervised_loss(model, batch, memories), torch.cat(losses).mean())


def test_selecting_and_joining_trajectories_loses_nothing(model, play):
    batch = play(model, continues=True)
    back = concatenate([batch.select([0, 1]), batch.select(range(2, 6))])
    assert same(batch, back) == []
    assert back.seeds == batch.seeds
    assert back.asks == batch.asks
    assert batch.mode == ("standard",) * 3


def test_a_custom_environment_takes_what_it_knows_and_brings_its_own_dialogues(model):
    spec = EnvSpec(use="rxt_mrl.envs.repeat_previous:RepeatPreviousVectorEnv", options={"episodes": 12})
    setup = make_setup(spec, dialogues=None, tokenizer=symbol_tokenizer(), reward=None, sampling=SAMPLING, steps=4)
    assert setup.dialogues() == 12
    assert setup.make(2).steps == 4


MOE = {"feed_forward": {"hidden": 32}, "moe": {"experts": 4, "top_k": 2}}


@pytest.mark.parametrize("decoder", [{}, MOE], ids=["dense", "experts"])
@pytest.mark.parametrize("learnt", ["float32", "bfloat16"])
@pytest.mark.parametrize("played", ["float32", "bfloat16"])
def test_precision_of_rollout_and_replay(make_model, play, played, learnt, decoder):
    model = make_model(decoder=decoder)
    for parameter in model.parameters():
        parameter.data *= 1.5  # opinions, as a trained model has them
    batch = play(model, count=24, precision=played, answers=4)
    answers = answers_of(batch, torch.ones_like(batch.rewards), drop=False)
    seen = replay(model, batch, answers, SAMPLING, precision=learnt)
    apart = (seen.log_probs - answers.log_probs).detach()[answers.mask].abs()
    assert seen.memories.dtype == seen.log_probs.dtype == batch.log_probs.dtype == torch.float32
    if played == learnt == "float32":
        assert apart.max() < 1e-4
    elif played == learnt:
        assert apart.max() < 0.02
        assert apart.mean() < 1e-4, "what the one rounds the other rounds to the same number"
    else:
        assert 1e-5 < apart.mean() < 0.02
        assert decoder or apart.max() < 0.1, "a token between two experts may go to another one"
    seen.log_probs.sum().backward()
    assert model.encoder.layers[0].attention.q_proj.weight.grad.isfinite().all(), "gradient through every write"

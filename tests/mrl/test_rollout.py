import pytest
import torch

from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.replay import replay

SAMPLING = SamplingConfig(max_new_tokens=3)


@pytest.mark.parametrize(
    "sampling",
    [SAMPLING, SamplingConfig(max_new_tokens=3, temperature=0.7, top_k=4, top_p=0.8)],
    ids=["plain", "filtered"],
)
@pytest.mark.parametrize("changes", [{}, {"warmup": True}, {"carry": True}], ids=["fresh", "warmup", "carried"])
def test_ratio_is_one_before_the_first_update(model, play, sampling, changes):
    batch = play(model, sampling=sampling, **changes)
    seen = replay(model, batch, sampling)
    assert batch.action_mask.sum() > len(batch)
    assert (seen.log_probs - batch.log_probs).abs().max() < 1e-4

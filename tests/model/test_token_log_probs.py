"""The fused log-probabilities are those of the logits, and so are their gradients."""

import pytest
import torch

from rxt_mrl.model import token_log_probs as module
from rxt_mrl.model.token_log_probs import token_log_probs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_whole_logits(monkeypatch, temperature):
    monkeypatch.setattr(module, "_LOGITS", 4 * 31)  # pieces of 4 rows, the last one shorter
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 31)
    tokens, weights = torch.randint(31, (10,)), torch.randn(10)
    hidden = torch.randn(10, 8, requires_grad=True)

    def grads(log_probs):
        return torch.autograd.grad((log_probs * weights).sum(), [hidden, head.weight, head.bias])

    distribution = (head(hidden) / temperature).log_softmax(-1)
    expected = distribution.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    log_probs, entropy = token_log_probs(hidden, head, tokens, temperature)
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(entropy, -(distribution.exp() * distribution).sum(-1))
    assert not entropy.requires_grad
    for one, other in zip(grads(log_probs), grads(expected), strict=True):
        torch.testing.assert_close(one, other)

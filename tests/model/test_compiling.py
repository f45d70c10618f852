"""``compile: true``: the same results, copies that compute with their own weights, and machines that cannot."""

import copy

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, compiling, preset


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"vocab_size": 31, "embed_dim": 16, "heads": 2, "slots": 3, "num_layers": 1, "max_tokens": 16}
    small = {"feed_forward": {"hidden": 16}}
    return RxT(preset("nano", **sizes, encoder=small, decoder=small)).eval()


def computed(model):
    """Logits after two writes, and the gradient that they give the embedding."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(7, 31, (2, 2, 9), generator=generator)
    mask = torch.arange(9) < torch.tensor([9, 6])[:, None, None]
    memories = model.scan(model.initial_memory(2, seeds=[0, 1]), ids, mask.expand_as(ids))
    logits = model.decode(ids[:, 0], memories[-1])
    model.zero_grad()
    logits.square().mean().backward()
    return logits.detach(), model.embedding.weight.grad.clone()


def test_a_copy_is_not_compiled(model, monkeypatch):
    monkeypatch.setattr(compiling, "check_compiler", lambda device: None)
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: lambda *given: function(*given))
    model.compile_parts()
    before = computed(model)[0]
    other = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data.zero_()
    assert torch.equal(computed(other)[0], before)
    assert not torch.equal(computed(model)[0], before)
    assert set(model.state_dict()) == set(other.state_dict())


def test_no_compiler_is_one_line(model, monkeypatch):
    def fails(function):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore lines")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(
        UserError, match=r"compile = true: .*No working C\+\+ compiler found\); it needs a C\+\+"
    ) as error:
        model.compile_parts()
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_compiled_computes_the_same(model):
    expected = computed(model)
    model.compile_parts()
    for found, want in zip(computed(model), expected, strict=True):
        torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)

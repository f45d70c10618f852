"""What writing does to a memory: its norm, change, effective rank, how far the gates open, and which slots are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..dialogues.batching import DialogueTensors
from ..model import RxT, inference
from ..model.gates import ResidualGate

DIALOGUES = 32
"""The first dialogues are enough: what is measured varies little between them."""
_ELEMENTS = 2**24
"""Numbers that memories of all dialogues may have together."""
_PLACES = 4


def memory_state(model: RxT, dialogues: DialogueTensors, seeds: Sequence[int]) -> dict[str, Any]:
    """What happens to the memory while dialogues are written, with their reference answers.

    Args:
        model: in any mode; left in it.
        dialogues: encoded with the model's tokenizer.
        seeds: of the initial memories, one per dialogue; as many as shall be used, of the first dialogues.

    Returns:
        ``dialogues``, and lists with one number per write (the first interaction's first): ``norm`` (length of a slot,
        one more: before the first write), ``change`` (length of what a write changed, as a share of the length of the
        memory), ``effective_rank`` (of the slots of a layer: the exponential of the entropy of their singular
        values, Roy and Vetterli 2007; as long as ``norm``), ``gate`` (share of the new in what a write leaves, null
        for a gate that only adds). ``slot_usage`` has, per slot, its share of all change, and ``slots_used`` how
        many of all ``slots`` that is (the exponential of the entropy of the shares).
    """
    config = model.config
    room = max(1, _ELEMENTS // (config.num_layers * config.slots * config.embed_dim))
    count = min(len(seeds), len(dialogues), room)
    turns = dialogues.select(slice(0, count)).interactions()
    ids, mask = turns.ids.to(model.device), turns.mask.to(model.device)
    opened: list[Tensor | None] = []

    def record(gate: ResidualGate, given: tuple[Tensor, Tensor], _: Tensor) -> None:
        opened.append(gate.openness(*given))

    hook = model.memory_attention.gate.register_forward_hook(record)
    try:
        with inference(model):
            memory = model.initial_memory(count, seeds=list(seeds[:count]))
            norms, ranks, changes = [_norm(memory)], [_effective_rank(memory)], []
            moved = torch.zeros(config.slots, device=memory.device)
            for step in range(ids.shape[1]):
                after = model.scan(memory, ids[:, step : step + 1], mask[:, step : step + 1])[1]
                change = (after - memory).float()
                changes.append(_round((change.norm() / memory.float().norm().clamp(min=1e-12)).item()))
                moved += change.norm(dim=-1).mean((0, 1))
                norms.append(_norm(after))
                ranks.append(_effective_rank(after))
                memory = after
    finally:
        hook.remove()
    usage = moved / moved.sum().clamp(min=1e-12)
    gates = None if opened[0] is None else [_round(share.mean().item()) for share in opened if share is not None]
    return {
        "dialogues": count,
        "norm": norms,
        "change": changes,
        "effective_rank": ranks,
        "gate": gates,
        "slot_usage": [_round(share) for share in usage.tolist()],
        "slots_used": _round(_spread(usage).item()),
        "slots": config.slots,
    }


def _norm(memory: Tensor) -> float:
    return _round(memory.float().norm(dim=-1).mean().item())


def _effective_rank(memory: Tensor) -> float:
    """Mean over layers and dialogues of ``(layers, dialogues, slots, dim)``."""
    values = torch.linalg.svdvals(memory.float())
    return _round(_spread(values / values.sum(-1, keepdim=True).clamp(min=1e-12)).mean().item())


def _spread(shares: Tensor) -> Tensor:
    """Over how many of the last dimension the shares are spread: the exponential of their entropy."""
    return torch.exp(-torch.xlogy(shares, shares).sum(-1))


def _round(value: float) -> float:
    return round(value, _PLACES)

"""Stages 1 and 2: masked and autoregressive language modelling with the encoder's data as the decoder's memory.

As published (RXT 3.1, 3.2): the encoder sees the text with 15 % of its tokens masked and fills them in; its detached
data is the memory from which the decoder, which sees the unmasked text, predicts every next token. The decoder
learns to read memory, the encoder to write what is worth reading.

Departures: both losses count real tokens only (published: padding targets are trained too); the decoder does not
attend to encoded padding (the padding of a row repeats its tokens); in stage 2 [EOS] is trained, so that the model
learns to stop; masks and noise are drawn from the number of the batch. Optionally the encoded data is averaged to
the number of memory slots, so that the decoder sees a memory of the size that it will have later.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..model import DecoderOutput, RxT
from ..model.layers import mean_stats
from .config import REACHED, JointSettings
from .losses import IGNORED, mask_tokens, next_token_labels, pool_to_slots, repeat_tokens, token_loss
from .objectives import Ratio, StageModel, StageOutput, generator_for, ratio


class JointModel(StageModel):
    """Encoder, MLM head and decoder with the losses of stage 1 or 2.

    Args:
        rxt: the model.
        mlm_head: from encoder states to token logits.
        settings: of the stage.
        mask_id: id of [MASK].
        answers_only: the decoder's loss counts answer tokens only (stage 2).
    """

    def __init__(
        self, rxt: RxT, mlm_head: nn.Module, settings: JointSettings, *, mask_id: int, answers_only: bool
    ) -> None:
        super().__init__(rxt)
        self.mlm_head = mlm_head
        self.settings = settings
        self.mask_id = mask_id
        self.answers_only = answers_only

    def trained(self) -> dict[str, float] | None:
        """The components that the objective reaches."""
        return dict.fromkeys(REACHED[self.settings.objective], 1.0)

    def criterion(self, means: Mapping[str, float]) -> float:
        """The weighted sum of the losses that the objective has."""
        settings = self.settings
        weights = {"mlm_loss": settings.mlm_weight, "loss": settings.ar_weight}
        return sum(weight * means[name] for name, weight in weights.items() if name in means)

    def extra_modules(self) -> dict[str, nn.Module]:
        """The MLM head."""
        return {"mlm_head": self.mlm_head}

    def forward(self, ids: Tensor, mask: Tensor, answer_mask: Tensor, row_seeds: Tensor, draw: Tensor) -> StageOutput:
        """Losses of a batch of texts or interactions, ``(rows, tokens)``."""
        settings = self.settings
        generator = generator_for(draw)
        sums: dict[str, Ratio] = {}
        loss = torch.zeros((), device=ids.device)
        encoded = None
        if settings.objective != "ar":
            draws = torch.rand(ids.shape, generator=generator).to(ids.device)
            seen, labels = mask_tokens(ids, mask, draws, share=settings.mask_share, mask_id=self.mask_id)
            encoded = self.rxt.encode(seen, mask)
            hidden = labels != IGNORED
            mlm_loss, correct, tokens = token_loss(self.mlm_head(encoded[-1][hidden]), labels[hidden])
            loss = loss + settings.mlm_weight * mlm_loss
            sums |= {"mlm_loss": ratio(mlm_loss * tokens, tokens), "mlm_accuracy": ratio(correct, tokens)}
        if settings.objective != "mlm":
            labels = next_token_labels(ids, answer_mask if self.answers_only else mask)
            counted = labels != IGNORED
            output = self._decode(ids, self._memory(encoded, ids, mask, generator), mask, counted)
            ar_loss, correct, tokens = token_loss(output.logits, labels[counted])
            loss = loss + settings.ar_weight * ar_loss
            if output.router_loss is not None:
                loss = loss + settings.router_weight * output.router_loss
            sums |= {"loss": ratio(ar_loss * tokens, tokens), "accuracy": ratio(correct, tokens)}
        return {"loss": loss, "sums": sums}

    def _decode(self, ids: Tensor, memory: Tensor, mask: Tensor, keep: Tensor) -> DecoderOutput:
        """As ``RxT.decode_output``, for a memory of any number of slots."""
        decoder = self.rxt.decoder
        outputs, stats = decoder.run(ids, memory_kv=decoder.memory_kv(memory), causal=True, token_mask=mask)
        router = mean_stats(stats)
        logits = decoder.logits(outputs[-1][keep])
        return DecoderOutput(logits, None, None) if router is None else DecoderOutput(logits, router.loss, router.load)

    def _memory(self, encoded: Tensor | None, ids: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """What the decoder reads, ``(layers, rows, slots, dim)``; no slot is padding."""
        config = self.rxt.config
        if encoded is None:
            return torch.zeros(config.num_layers, ids.shape[0], config.slots, config.embed_dim, device=ids.device)
        memory = encoded.detach()
        if self.settings.memory == "slots":
            memory = pool_to_slots(memory, mask, config.slots)
        else:
            memory = repeat_tokens(memory, mask)
        if self.settings.memory_masking:
            kept = torch.rand(memory.shape[:-1], generator=generator) >= self.settings.memory_masking
            memory = memory * kept.to(memory.device, memory.dtype).unsqueeze(-1)
        if self.settings.memory_noise:
            noise = torch.randn(memory.shape, generator=generator).to(memory.device, memory.dtype)
            memory = memory + self.settings.memory_noise * noise
        return memory

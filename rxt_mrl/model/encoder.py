"""The memory encoder: turns an interaction into the data that memory attention writes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..texts import trim
from .attention import key_mask
from .checks import check_memory, check_tokens, full_or_none
from .config import EncoderConfig, RxTConfig
from .hub import HubModel
from .layers import Stack


class Encoder(Stack, HubModel):
    """Bidirectional transformer; its encoded data are the outputs of all layers (RXT.md 1.4).

    Usable alone, with an :class:`~rxt_mrl.model.heads.MLMHead`, as the published base encoders were trained.

    Args:
        config: sizes and the ``encoder`` section.
        embedding: shared embedding; None: an own one.
    """

    def __init__(self, config: RxTConfig, embedding: nn.Embedding | None = None) -> None:
        if config.encoder is None:
            raise UserError("encoder: the configuration has no encoder section (None); an Encoder needs one")
        super().__init__(config, config.encoder, embedding)
        self.section: EncoderConfig = config.encoder

    def forward(self, ids: Tensor, mask: Tensor, memory: Tensor | None = None) -> Tensor:
        """Encoded data ``(L, B, T, D)``, zeros at padded columns behind the longest row; ``[-1]`` is the last hidden.

        Args:
            ids: long ``(B, T)``.
            mask: bool ``(B, T)``, right padding.
            memory: ``(L, B, S, D)``; needed by, and only allowed for, encoders with memory cross-attention.

        Raises:
            UserError: on wrong shapes, dtypes, ids or a missing memory.
        """
        check_tokens(ids, mask, self.config)
        if self.reads_memory != (memory is not None):
            raise UserError(
                "encoder: this encoder has memory cross-attention and needs memory, got None"
                if memory is None
                else "encoder: memory was given, but this encoder has no memory cross-attention "
                "(encoder.cross_attention is None)"
            )
        if memory is not None:
            check_memory(memory, self.config, ids.shape[0])
        width = ids.shape[1]
        ids, mask = trim(ids, mask)
        encoded = self.encode(ids, mask, memory)
        return nn.functional.pad(encoded, (0, 0, 0, width - ids.shape[1])) if ids.shape[1] < width else encoded

    def encode(self, ids: Tensor, mask: Tensor, memory: Tensor | None = None) -> Tensor:
        """As :meth:`forward`, without checks and trimming."""
        valid = full_or_none(mask)
        outputs, _ = self.run(
            ids,
            memory_kv=None if memory is None else self.memory_kv(memory),
            mask=key_mask(valid),
            token_mask=valid,
        )
        return torch.stack(outputs)

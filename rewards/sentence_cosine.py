"""Cosine of sentence embeddings, by any model of the sentence-transformers library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceCosine:
    """Cosine of the sentence embeddings of answer and reference, negative values as 0.

    The model is loaded at the first call, once per process; it is not sent to Ray workers, they load it themselves.
    A folder works offline.

    What it cannot tell apart: sentences about the same thing. With MiniLM, against "The cat's name is Whiskers", the
    negated sentence scores 0.94, another name or an outdated one nearly as much, and the copied question 0.69, while
    a good paraphrase scores 0.85. Only an unrelated or empty answer scores low. Use it beside fact recall.

    Args:
        model: a model's name on the Hub or a folder.
        device: where it runs; None: the library's choice.
        batch_size: sentences encoded at a time.
    """

    needs_reference: ClassVar[bool] = True
    blind_to: ClassVar[frozenset[str]] = frozenset(
        {
            "short",
            "wrong value",
            "outdated value",
            "negated",
            "echo of the query",
            "copy of the saved interaction",
            "repetition",
        }
    )

    def __init__(
        self,
        model: str = "sentence-transformers/all-MiniLM-L6-v2",
        device: str | None = None,
        batch_size: int = 64,
    ) -> None:
        self.model = model
        self.device = device
        self.batch_size = batch_size
        self._loaded: SentenceTransformer | None = None

    def __call__(self, context: RewardContext) -> torch.Tensor:
        """Float32 ``(episodes,)`` in [0, 1]; 0 for an empty answer or reference.

        Raises:
            UserError: when the model cannot be loaded.
        """
        pairs = [*context.generated.text, *context.reference.text]
        different = sorted({text for text in pairs if text.strip()})
        scores = torch.zeros(len(context))
        if not different:
            return scores
        vectors = self._encoder().encode(
            different,
            batch_size=self.batch_size,
            convert_to_tensor=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        place = {text: index for index, text in enumerate(different)}
        rows = torch.tensor([place.get(text, -1) for text in pairs])
        table = torch.cat([vectors.float().cpu(), torch.zeros(1, vectors.shape[1])])  # -1: an empty text
        answers, references = table[rows].chunk(2)
        return (answers * references).sum(-1).clamp(0, 1)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def _encoder(self) -> SentenceTransformer:
        if self._loaded is None:
            from sentence_transformers import SentenceTransformer  # slow to import

            try:
                self._loaded = SentenceTransformer(self.model, device=self.device)
            except Exception as error:  # the library raises many kinds, from OSError to httpx errors
                reason = str(error).strip().partition("\n")[0]
                message = f"sentence model {self.model!r} cannot be loaded ({reason}); give a name or a folder"
                raise UserError(message) from error
        return self._loaded

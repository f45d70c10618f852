"""The published composite reward on our episodes, to compare results with the papers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from rxt_mrl.contracts import RewardContext, TokenText
from rxt_mrl.settings import validate

from .published_score import PublishedConfig, Tokens, fold_mean, published_score


class Published:
    """BLEU and embedding cosine with the reference and with the saved interaction, as published (RxT papers).

    The value returned is the published similarity in [0, 1]: before ``tanh_reward_scale`` and ``rewards_scale``, which
    only stretch it (`scale` in ``published_score`` gives their 0-10 numbers). In modes: ``topic_switch`` is the
    published NEGATIVE, ``return`` is LONG_RANGE and looks back to the first interaction. The answers get their ``[A]``
    back, which our template counts with the query. The running mean starts anew in each episode.

    What it cannot tell apart: a wrong, outdated or negated value earns four fifths of what the right answer earns. A
    part of it rewards the words of the saved interaction, so a copy of that, and a repetition, earn more than half -
    and more than a paraphrase. An empty answer earns too ([EOS] is counted). A reward for comparison, not for
    training.

    Args:
        answer_id: the id of ``[A]``; None: the ids already have it.
        **options: the published options, see :class:`PublishedConfig`.

    Raises:
        UserError: for an unknown option or one out of range.
    """

    needs_reference: ClassVar[bool] = True
    blind_to: ClassVar[frozenset[str]] = frozenset(
        {
            "paraphrase",
            "short",
            "wrong value",
            "outdated value",
            "negated",
            "copy of the saved interaction",
            "repetition",
        }
    )

    def __init__(self, answer_id: int | None = 6, **options: Any) -> None:
        self.answer_id = answer_id
        self.config = validate(PublishedConfig, options, "options")

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores float32 ``(episodes,)`` in [0, 1] and where they apply: where there is an earlier interaction.

        Raises:
            ValueError: when the context has no embedding.
        """
        if not context.history:
            return torch.zeros(len(context)), torch.zeros(len(context), dtype=torch.bool)
        if context.embedding is None:
            raise ValueError("the published reward needs embeddings, and the context has none (embedding=None)")
        # Published: long-range episodes do not count the first interaction among the previous ones.
        skipped = 1 if context.strategy == "long_range" else 0
        previous = context.history[skipped:-1] if context.mode != "topic_switch" else ()
        mean: torch.Tensor | None = None
        for turn in previous:
            mean = fold_mean(self.config, _tokens(turn), context.embedding, mean)
        saved = context.history[0] if context.mode == "return" else context.history[-1]
        score = published_score(
            self.config,
            self._answer(context.generated),
            self._answer(context.reference),
            _tokens(saved),
            context.embedding,
            mode=context.mode,
            first=mean is None,
            running_mean=mean,
        )
        return (score / self.config.largest).clamp(0, 1), torch.ones(len(context), dtype=torch.bool)

    def _answer(self, text: TokenText) -> Tokens:
        if self.answer_id is None:
            return _tokens(text)
        start = torch.full((len(text), 1), self.answer_id, dtype=text.ids.dtype, device=text.ids.device)
        return Tokens(torch.cat([start, text.ids], 1), torch.cat([torch.ones_like(start).bool(), text.mask], 1))


def _tokens(text: TokenText) -> Tokens:
    return Tokens(text.ids, text.mask)

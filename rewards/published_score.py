"""The published MRL reward as a function of tensors, with the published options and defaults.

Facts: RXT 3.6. It is here so that results can be compared with the papers; it is not our default, because it counts
template tokens, rewards the words of the saved interaction, and was computed on the embedding being trained.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from rxt_mrl.contracts import Mode
from rxt_mrl.settings import Settings

from .bleu import check_weights, token_bleu
from .length import length_score


class Tokens(NamedTuple):
    """Ids long and mask bool, both ``(rows, tokens)``, right-padded, template tokens included."""

    ids: torch.Tensor
    mask: torch.Tensor


class PublishedConfig(Settings):
    """Options of the published reward, with the published names and defaults. None: the same as its counterpart.

    Factors of one sum must sum to 1, unless ``allow_not_summing_factors``.
    """

    bleu_with_saved_data: bool = False
    bleu_mode: Literal["separate", "combined"] = "separate"
    bleu_factor: float = Field(default=0.5, ge=0)
    bleu_ref_factor: float = Field(default=0.5, ge=0)
    bleu_saved_factor: float = Field(default=0.5, ge=0)
    bleu_first_ref_factor: float | None = Field(default=None, ge=0)
    bleu_first_saved_factor: float | None = Field(default=None, ge=0)
    bleu_ref_weights: tuple[float, ...] = (0.5, 0.5)
    bleu_saved_weights: tuple[float, ...] = (0.5, 0.5)
    cos_factor: float = Field(default=0.5, ge=0)
    cos_ref_factor: float = Field(default=0.5, ge=0)
    cos_saved_factor: float = Field(default=0.5, ge=0)
    multi_cos_ref_factor: float = Field(default=0.3, ge=0)
    multi_cos_saved_factor: float = Field(default=0.5, ge=0)
    multi_cos_running_mean_factor: float = Field(default=0.2, ge=0)
    neg_bleu_factor: float | None = Field(default=None, ge=0)
    neg_cos_factor: float | None = Field(default=None, ge=0)
    neg_bleu_ref_factor: float = Field(default=0.5, ge=0)
    neg_bleu_saved_factor: float = Field(default=0.5, ge=0)
    neg_cos_ref_factor: float = Field(default=0.5, ge=0)
    neg_cos_saved_factor: float = Field(default=0.5, ge=0)
    reward_len: bool = False
    neg_reward_len: bool = False
    """Whether an answer longer than the target loses."""
    max_rewarded_len: int | None = Field(default=None, ge=1)
    target_len_as_ref: bool = False
    len_factor: float | None = Field(default=None, ge=0)
    use_running_mean: bool = True
    running_mean_decay: float = Field(default=0.2, ge=0, lt=1)
    """Weight of the old mean."""
    tanh_reward_scale: bool = False
    """Scores from -1 to 1 in place of 0 to 1."""
    rewards_scale: float = Field(default=1.0, gt=0)
    allow_not_summing_factors: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_weights(self.bleu_ref_weights)
        check_weights(self.bleu_saved_weights)
        if self.reward_len and self.len_factor is None:
            raise ValueError("reward_len needs a len_factor")
        if self.reward_len and not self.target_len_as_ref and self.max_rewarded_len is None:
            raise ValueError("reward_len needs max_rewarded_len, or target_len_as_ref")
        if not self.allow_not_summing_factors:
            for names, total in self._sums().items():
                if abs(total - 1) > 1e-6:
                    raise ValueError(f"{names} sum to {total:g}, not 1 (allow_not_summing_factors permits it)")
        return self

    def _sums(self) -> dict[str, float]:
        length = (self.len_factor or 0.0) if self.reward_len else 0.0
        return {
            "bleu_factor, cos_factor and len_factor": self.bleu_factor + self.cos_factor + length,
            "neg_bleu_factor, neg_cos_factor and len_factor": sum(self.negative_factors) + length,
            "bleu_ref_factor and bleu_saved_factor": self.bleu_ref_factor + self.bleu_saved_factor,
            "bleu_first_ref_factor and bleu_first_saved_factor": sum(self.bleu_first_factors),
            "cos_ref_factor and cos_saved_factor": self.cos_ref_factor + self.cos_saved_factor,
            "the multi_cos factors": self.multi_cos_ref_factor
            + self.multi_cos_saved_factor
            + self.multi_cos_running_mean_factor,
            "neg_bleu_ref_factor and neg_bleu_saved_factor": self.neg_bleu_ref_factor + self.neg_bleu_saved_factor,
            "neg_cos_ref_factor and neg_cos_saved_factor": self.neg_cos_ref_factor + self.neg_cos_saved_factor,
        }

    @property
    def negative_factors(self) -> tuple[float, float]:
        """Factors of BLEU and cosine where the topic changes."""
        return (
            self.bleu_factor if self.neg_bleu_factor is None else self.neg_bleu_factor,
            self.cos_factor if self.neg_cos_factor is None else self.neg_cos_factor,
        )

    @property
    def bleu_first_factors(self) -> tuple[float, float]:
        """Factors of BLEU with the reference and with the saved interaction, where nothing came before that."""
        return (
            self.bleu_ref_factor if self.bleu_first_ref_factor is None else self.bleu_first_ref_factor,
            self.bleu_saved_factor if self.bleu_first_saved_factor is None else self.bleu_first_saved_factor,
        )

    @property
    def largest(self) -> float:
        """The most that similarity can reach before scaling: 1, unless the factors may sum to something else."""
        length = (self.len_factor or 0.0) if self.reward_len else 0.0
        sums = self._sums()
        bleu = max(sums[name] for name in sums if "bleu_ref" in name or "bleu_first" in name) if (
            self.bleu_with_saved_data
        ) else 1.0  # fmt: skip
        cos = max(sums[name] for name in sums if "cos_ref_factor" in name or "multi" in name)
        negative_bleu, negative_cos = self.negative_factors
        return max(
            max(bleu, 1.0) * self.bleu_factor + cos * self.cos_factor + length,
            max(bleu, 1.0) * negative_bleu + cos * negative_cos + length,
            1.0,
        )


def published_score(
    config: PublishedConfig,
    generated: Tokens,
    reference: Tokens,
    saved: Tokens,
    embedding: torch.Tensor,
    *,
    mode: Mode = "standard",
    first: bool = True,
    running_mean: torch.Tensor | None = None,
) -> torch.Tensor:
    """Similarity of answers by the published formula, before ``tanh_reward_scale`` and ``rewards_scale``.

    Args:
        config: the options.
        generated: answers, published as ``[A] answer [EOS]``.
        reference: right answers, in the same form.
        saved: the interaction that the reward looks back to, ``[BOS][Q] query [A] answer [EOS]``.
        embedding: ``(vocab, dim)``.
        mode: ``topic_switch`` is the published NEGATIVE, ``return`` is LONG_RANGE.
        first: whether nothing came before the saved interaction (published: no previous data).
        running_mean: ``(rows, dim)``, `fold_mean` over what came before; needed unless ``first``.

    Returns:
        float32 ``(rows,)``.
    """
    bleu = _bleu(config, generated, reference, saved, mode, first)
    cos = _cosine(config, generated, reference, saved, embedding, mode, None if first else running_mean)
    factors = config.negative_factors if mode == "topic_switch" else (config.bleu_factor, config.cos_factor)
    score = factors[0] * bleu + factors[1] * cos
    if config.reward_len and config.len_factor is not None:
        length = generated.mask.sum(1).float()
        if config.target_len_as_ref or config.max_rewarded_len is None:
            target = reference.mask.sum(1).float()
        else:
            target = torch.full_like(length, float(config.max_rewarded_len))
        score = score + config.len_factor * length_score(length, target, config.neg_reward_len)
    return score


def scale(config: PublishedConfig, score: torch.Tensor) -> torch.Tensor:
    """What the published trainer rewards: optionally -1 to 1, times ``rewards_scale``."""
    return (2 * score - 1 if config.tanh_reward_scale else score) * config.rewards_scale


def fold_mean(
    config: PublishedConfig, turn: Tokens, embedding: torch.Tensor, mean: torch.Tensor | None
) -> torch.Tensor:
    """The running mean of embeddings after one more previous interaction, ``(rows, dim)``."""
    fresh = mean_embedding(turn, embedding)
    if mean is None or not config.use_running_mean:
        return fresh
    return (1 - config.running_mean_decay) * fresh + config.running_mean_decay * mean


def mean_embedding(tokens: Tokens, embedding: torch.Tensor) -> torch.Tensor:
    """Mean embedding of all tokens under the mask, template tokens included, ``(rows, dim)``."""
    keep = tokens.mask.unsqueeze(-1).to(embedding.dtype)
    return (embedding[tokens.ids] * keep).sum(1) / keep.sum(1).clamp(min=1)


def _bleu(
    config: PublishedConfig, generated: Tokens, reference: Tokens, saved: Tokens, mode: Mode, first: bool
) -> torch.Tensor:
    weights = config.bleu_ref_weights
    if not config.bleu_with_saved_data:
        # As published: the topic-switch branch forgets the smoothing.
        smoothing: Literal["none", "method4"] = "none" if mode == "topic_switch" else "method4"
        return token_bleu(generated, [reference], weights, smoothing).float()
    if mode != "topic_switch" and config.bleu_mode == "combined":
        return token_bleu(generated, [reference, saved], weights).float()
    with_reference = token_bleu(generated, [reference], weights).float()
    with_saved = token_bleu(generated, [saved], config.bleu_saved_weights).float()
    if mode == "topic_switch":
        return config.neg_bleu_ref_factor * with_reference + config.neg_bleu_saved_factor * (1 - with_saved)
    by_ref, by_saved = config.bleu_first_factors if first else (config.bleu_ref_factor, config.bleu_saved_factor)
    return by_ref * with_reference + by_saved * with_saved


def _cosine(
    config: PublishedConfig,
    generated: Tokens,
    reference: Tokens,
    saved: Tokens,
    embedding: torch.Tensor,
    mode: Mode,
    mean: torch.Tensor | None,
) -> torch.Tensor:
    answer = mean_embedding(generated, embedding)

    def near(other: torch.Tensor) -> torch.Tensor:
        return F.cosine_similarity(answer, other, dim=-1).clamp(min=0).float()

    by_reference = near(mean_embedding(reference, embedding))
    by_saved = near(mean_embedding(saved, embedding))
    if mode == "topic_switch":
        return config.neg_cos_saved_factor * (1 - by_saved) + config.neg_cos_ref_factor * by_reference
    if mean is None:
        return config.cos_ref_factor * by_reference + config.cos_saved_factor * by_saved
    by_mean = near(mean) if mode == "standard" else 1 - near(mean)
    return (
        config.multi_cos_saved_factor * by_saved
        + config.multi_cos_ref_factor * by_reference
        + config.multi_cos_running_mean_factor * by_mean
    )

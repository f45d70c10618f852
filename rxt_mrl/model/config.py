"""Settings of an RxT and of its parts.

One :class:`RxTConfig` describes a whole model, or a part of one: a section set to ``None`` is not built.
Names in brackets are those of the published libraries (RXT.md section 1).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..settings import Settings

AttentionType = Literal["mha", "gqa", "mqa", "sqa"]
Activation = Literal["relu", "gelu", "silu", "swish", "sigmoid", "tanh", "linear"]
RopeLayout = Literal["split", "interleaved"]
NormType = Literal["rms", "layer"]
MemoryNormType = Literal["classic-rms", "layer", "rms", "adaptive", "positional"]
MemoryVariant = Literal["simple", "self", "interlayer", "self-interlayer"]
GateType = Literal["add", "replace", "static", "elementwise", "linear"]

LARGEST = 1_000_000_000
"""Of a size; whether the machine has the memory for it is asked before anything is made."""
MOST_MODULES = 1000
"""Of what is made one by one, each with modules of its own: layers, shared experts."""
Size = Annotated[int, Field(ge=1, le=LARGEST)]


class AttentionConfig(Settings):
    """One attention of the family: which projections exist and how heads are grouped.

    ``mha``: every head has its own keys and values. ``gqa``: ``groups`` key/value heads. ``mqa``: one.
    ``sqa``: only ``query_groups`` query heads and ``groups`` key/value heads of the model's ``heads`` exist
    (``heads`` then only defines the head dimension); ``groups`` > ``query_groups`` is the "reversed" form.
    """

    type: AttentionType = "mha"
    heads: int | None = Field(default=None, ge=1)
    """Heads that define the head dimension; None: the model's."""
    groups: int | None = Field(default=None, ge=1)
    """Key/value heads of gqa and sqa [att_groups]; None: half of the heads (sqa: ``query_groups``)."""
    query_groups: int | None = Field(default=None, ge=1)
    """Query heads of sqa [att_query_groups]; None: half of the heads."""
    output_bias: bool = True
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def head_counts(self, heads: int) -> tuple[int, int]:
        """Query heads and key/value heads that exist, for a model of ``heads`` heads.

        Raises:
            ValueError: when the groups do not divide the heads.
        """
        heads = self.heads or heads
        half = max(1, heads // 2)
        if self.type == "mha":
            return heads, heads
        if self.type == "mqa":
            return heads, 1
        if self.type == "gqa":
            groups = self.groups or half
            if heads % groups:
                raise ValueError(f"attention groups {groups} do not divide heads {heads} (gqa); allowed: divisors")
            return heads, groups
        queries = self.query_groups or half
        groups = self.groups or queries
        if queries > heads or groups > heads:
            raise ValueError(
                f"query_groups {queries} or groups {groups} exceed heads {heads} (sqa); allowed: 1..{heads}"
            )
        if queries % groups and groups % queries:
            raise ValueError(
                f"attention groups {groups} and query_groups {queries} do not divide each other (sqa); "
                f"allowed: divisors or multiples"
            )
        return queries, groups


class FeedForwardConfig(Settings):
    """A feed-forward block: gated (GLU, first half linear, second half gated) or plain."""

    hidden: Size = 192
    gated: bool = True
    activation: Activation = "silu"
    dropout: float = Field(default=0.0, ge=0, lt=1)


class MoEConfig(Settings):
    """Mixture of experts; each expert is a block of the layer's ``feed_forward`` settings."""

    experts: Size = 8
    top_k: int = Field(default=2, ge=1)
    shared_experts: int = Field(default=0, ge=0, le=MOST_MODULES)
    """Experts that see every token: one is added plainly, several are mixed by a softmax gate."""
    bias: Literal["local", "global", "off"] = "local"
    """Biases of the routed experts: their own, one on the layer's output, or none."""
    shared_bias: Literal["local", "off"] = "local"
    balance_loss: Literal["switch", "published"] = "switch"
    """``switch``: Fedus et al. 2021, eq. 4 (minimal at uniform load). ``published``: RXT.md 1.8."""

    @model_validator(mode="after")
    def _check(self) -> MoEConfig:
        if self.top_k > self.experts:
            raise ValueError(f"top_k {self.top_k} exceeds experts {self.experts}")
        return self


class StackConfig(Settings):
    """What encoder and decoder have in common: one kind of layer, repeated."""

    attention: AttentionConfig = AttentionConfig()
    cross_attention: AttentionConfig | None = AttentionConfig()
    """Memory cross-attention of each layer; None: the layer does not read the memory."""
    feed_forward: FeedForwardConfig = FeedForwardConfig()
    moe: MoEConfig | None = None
    norm: NormType = "rms"
    pre_norm: bool = True

    @model_validator(mode="after")
    def _one_head_dimension(self) -> Self:
        cross = self.cross_attention
        if cross is not None and cross.heads != self.attention.heads:
            raise ValueError(
                f"cross_attention.heads {cross.heads} differs from attention.heads {self.attention.heads}; "
                "a component's attentions share their rotary angles, so the heads must be equal"
            )
        return self


class EncoderConfig(StackConfig):
    """The memory encoder. By default it does not read the memory [skip_memory_cross_attention=True]."""

    cross_attention: AttentionConfig | None = None


class DecoderConfig(StackConfig):
    """The generator."""

    cross_attention: AttentionConfig = AttentionConfig()
    head_norm: NormType | None = None
    """Norm before the language-model head [use_head_norm, head_norm_type]."""


class GateConfig(Settings):
    """Residual gate of a memory write: how an old slot and what was read from the interaction are mixed.

    ``add``: old + new. ``replace``: new. Otherwise ``g = activation(z)``, and the result is
    ``g new + (1 - g) old`` (sigmoid) or ``(1 + g) new + (1 - g) old`` (tanh), where z is a parameter (``static``),
    a parameter times the slot's status (``elementwise``) or a linear map of all slots' statuses (``linear``).
    """

    type: GateType = "linear"
    activation: Literal["sigmoid", "tanh"] = "sigmoid"
    per_slot: bool = True
    """One gate per slot, or one per layer."""
    slot_status: Literal["mean", "linear"] = "mean"
    """Status of a slot: the mean of old + new over its dimensions, or a learned projection of it."""
    init: float | None = None
    """Initial value of the parameter (static, elementwise; None: 3.0) or of the bias (linear; None: torch's
    default). With a sigmoid, -3 starts nearly closed: a fresh model overwrites 5 % of a slot per interaction."""


class MemoryAttentionConfig(Settings):
    """Memory attention: how an encoded interaction is written to the memory (RXT.md 1.11)."""

    variant: MemoryVariant = "interlayer"
    attention: AttentionConfig = AttentionConfig()
    """Slots read the encoded interaction."""
    inner_attention: AttentionConfig = AttentionConfig()
    """Slots read each other (``self``) or the layers' mean (``interlayer``, ``self-interlayer``)."""
    layer_groups: int = Field(default=1, ge=1)
    """The mean over layers is taken inside this many groups of consecutive layers [grouped, num_groups]."""
    norm: MemoryNormType = "classic-rms"
    norm_init_gate: float = -2.0
    norm_decay: float = Field(default=0.9, ge=0, le=1)
    norm_per_dim: bool = True
    """``positional`` norm: a scale per dimension, or per slot."""
    gate: GateConfig = GateConfig()
    inner_gate: GateConfig | None = None
    """Gate after the inner attention; None: the same settings as ``gate``."""


class InitialMemoryConfig(Settings):
    """The memory before the first interaction.

    ``normal``: N(0, std^2), drawn per episode. ``zeros``. ``learned``: parameters, initialized N(0, std^2).
    ``encoded``: a system text, written by the model itself on a ``normal`` memory.
    """

    kind: Literal["normal", "zeros", "learned", "encoded"] = "normal"
    std: float = Field(default=0.02, ge=0)
    system_ids: tuple[int, ...] = ()
    """Token ids of the system text (``encoded``)."""

    @model_validator(mode="after")
    def _check(self) -> InitialMemoryConfig:
        if self.kind == "encoded" and not self.system_ids:
            raise ValueError("kind 'encoded' needs system_ids, got none")
        return self


class RxTConfig(Settings):
    """A Reactive Transformer: sizes that all parts share, then one section per part."""

    vocab_size: Size = 512
    embed_dim: int = Field(default=64, ge=2, le=LARGEST)
    num_layers: int = Field(default=2, ge=1, le=MOST_MODULES)
    heads: Size = 4
    slots: Size = 8
    """Short-term memory slots per layer [stm_size]."""
    max_tokens: Size = 64
    """Longest sequence of one interaction [seq_len]; longer ones are refused, never cut."""
    rope: RopeLayout = "interleaved"
    """How rotated pairs are written back: RxNN 0.2 ``split``, RxLM 0.3 ``interleaved`` (RXT.md 1.6)."""
    rope_base: float = Field(default=10_000.0, gt=1)
    encoder: EncoderConfig | None = EncoderConfig()
    decoder: DecoderConfig | None = DecoderConfig()
    memory_attention: MemoryAttentionConfig | None = MemoryAttentionConfig()
    initial_memory: InitialMemoryConfig = InitialMemoryConfig()

    @model_validator(mode="after")
    def _check(self) -> RxTConfig:
        attentions: list[AttentionConfig] = []
        for stack in (self.encoder, self.decoder):
            if stack is not None:
                attentions += [stack.attention] + ([stack.cross_attention] if stack.cross_attention else [])
        if (memory := self.memory_attention) is not None:
            attentions += [memory.attention, memory.inner_attention]
            if self.num_layers % memory.layer_groups:
                raise ValueError(f"layer_groups {memory.layer_groups} does not divide num_layers {self.num_layers}")
        for attention in attentions:
            heads = attention.heads or self.heads
            if self.embed_dim % heads:
                raise ValueError(f"heads {heads} does not divide embed_dim {self.embed_dim}; allowed: its divisors")
            if (self.embed_dim // heads) % 2:
                raise ValueError(
                    f"embed_dim {self.embed_dim} / heads {heads} = {self.embed_dim // heads} per head is odd; "
                    f"RoPE rotates pairs"
                )
            attention.head_counts(self.heads)
        return self

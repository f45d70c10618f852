"""How many floating-point operations a workload needs, from the configuration alone.

Counted: matrix products, attention scores and their sums, as 2 per multiply-add. Not counted: norms, softmax,
activations, sampling, moving data. So a share of 100 % cannot be reached; it says how far off the rest keeps us.
"""

from __future__ import annotations

from rxt_mrl.model.config import AttentionConfig, FeedForwardConfig, MoEConfig, RxTConfig


def generation_flops(config: RxTConfig, batch: int, prompt: int, new: int) -> float:
    """Memory keys and values, the prompt, then ``new - 1`` steps (the last token is not fed back)."""
    decoder, dim, layers = config.decoder, config.embed_dim, config.num_layers
    assert decoder is not None
    query, kv, out, width = _attention(config, decoder.attention)
    cross_query, cross_kv, cross_out, cross_width = _attention(config, decoder.cross_attention)
    feed = _feed_forward(dim, decoder.feed_forward, decoder.moe)
    token = query + kv + out + cross_query + cross_out + 2 * cross_width * config.slots + feed
    fed = prompt + new - 1
    scores = 2 * width * fed * (fed + 1) / 2
    head = dim * config.vocab_size * new
    return 2.0 * batch * (layers * (fed * token + scores + config.slots * cross_kv) + head)


def step_bytes(config: RxTConfig, batch: int) -> float:
    """Bytes that one step reads at least once: weights (all experts that ``batch`` rows choose) and memory keys.

    Experts are taken to be chosen evenly and independently. The own keys of the rows, small here, are left out.
    """
    decoder, dim = config.decoder, config.embed_dim
    assert decoder is not None
    own, cross = _attention(config, decoder.attention), _attention(config, decoder.cross_attention)
    feed = float(dim * decoder.feed_forward.hidden * (3 if decoder.feed_forward.gated else 2))
    if (moe := decoder.moe) is not None:
        chosen = moe.experts * (1 - (1 - moe.top_k / moe.experts) ** batch)
        feed *= chosen + moe.shared_experts
    weights = config.num_layers * (sum(own[:3]) + cross[0] + cross[2] + feed) + dim * config.vocab_size
    keys = config.num_layers * batch * config.slots * cross[1] / dim
    return 4.0 * (weights + keys)


def update_flops(config: RxTConfig, batch: int, tokens: int) -> float:
    """Encoder and memory attention over ``tokens`` per row, for the ``interlayer`` variant with linear gates."""
    encoder, memory, dim, slots = config.encoder, config.memory_attention, config.embed_dim, config.slots
    assert encoder is not None
    assert memory is not None
    query, kv, out, width = _attention(config, encoder.attention)
    feed = _feed_forward(dim, encoder.feed_forward, encoder.moe)
    encoding = tokens * (query + kv + out + feed) + 2 * width * tokens * tokens
    query, kv, out, width = _attention(config, memory.attention)
    writing = slots * (query + out) + tokens * kv + 2 * width * slots * tokens
    query, kv, out, width = _attention(config, memory.inner_attention)
    mixing = slots * (query + kv + out) + 2 * width * slots * slots
    gates = 2 * slots * slots if memory.gate.type == "linear" else 0
    return 2.0 * batch * config.num_layers * (encoding + writing + mixing + gates)


def decoding_flops(config: RxTConfig, rows: int, tokens: int, memories: int, predicted: int) -> float:
    """The decoder over ``rows`` whole sequences of ``tokens`` each, with logits of ``predicted`` of them."""
    decoder = config.decoder
    assert decoder is not None
    query, kv, out, width = _attention(config, decoder.attention)
    cross_query, cross_kv, cross_out, cross_width = _attention(config, decoder.cross_attention)
    feed = _feed_forward(config.embed_dim, decoder.feed_forward, decoder.moe)
    token = query + kv + out + cross_query + cross_out + 2 * cross_width * config.slots + feed
    scores = width * tokens**2  # causal: half of them
    layers = rows * (tokens * token + scores) + memories * config.slots * cross_kv
    return 2.0 * (config.num_layers * layers + rows * predicted * config.embed_dim * config.vocab_size)


def attention_flops(config: RxTConfig, batch: int, tokens: int) -> float:
    """The part of :func:`update_flops` that is scores and their sums."""
    encoder, memory, slots = config.encoder, config.memory_attention, config.slots
    assert encoder is not None
    assert memory is not None
    words, among, main = (
        _attention(config, a)[3] for a in (encoder.attention, memory.inner_attention, memory.attention)
    )
    return 4.0 * batch * config.num_layers * (words * tokens**2 + among * slots**2 + main * slots * tokens)


def _attention(config: RxTConfig, attention: AttentionConfig) -> tuple[int, int, int, int]:
    """Weights of the query, key/value and output projections, and the width of all query heads."""
    heads = attention.heads or config.heads
    head_dim = config.embed_dim // heads
    queries, groups = attention.head_counts(config.heads)
    width = max(queries, groups) * head_dim
    dim = config.embed_dim
    return dim * queries * head_dim, 2 * dim * groups * head_dim, width * dim, width


def _feed_forward(dim: int, block: FeedForwardConfig, moe: MoEConfig | None) -> int:
    """Weights that one token meets."""
    weights = dim * block.hidden * (3 if block.gated else 2)
    if moe is None:
        return weights
    return weights * (moe.top_k + moe.shared_experts) + dim * moe.experts

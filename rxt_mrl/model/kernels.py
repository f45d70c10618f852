"""Compiled loops (numba) for one token per row, on a CPU in float32.

A step on a few rows does little arithmetic on much memory: matrix-vector work, for which a call of a matrix library
costs more than its product. These loops read every weight and every key once, in the order in which it lies in memory.
They are numerics only: arrays in, arrays out, no rows dropped, no choices made. :mod:`rxt_mrl.model.kernel_steps`,
the norms and the experts call them, and tests hold them to the decoder's ordinary forward pass for every variant. They
are one file because numba's cache on disk notices a change of a function's own file only.

Keys and values come transposed, ``(batch, kv heads, head dim, tokens)``: then every loop runs over neighbours.
A NaN among the inputs is a NaN among the outputs: only the search for a maximum assumes that there is none.

A loop that sums stores into no other array: the order of the sum would depend on where the arrays happen to lie.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .device import can_cache

Array = NDArray[Any]

ACTIVATIONS = {"silu": 0, "swish": 0, "relu": 1, "sigmoid": 2, "tanh": 3, "gelu": 4, "linear": 5}
"""Numbers of the activations in :func:`experts_step`."""


_f32, _i32 = np.float32, np.int32
_OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    "nogil": True,
    "cache": can_cache(),
    "error_model": "numpy",
}
_LOG2E = _f32(math.log2(math.e))
# ln 2 in two parts (Cody and Waite); the coefficients below are those of Cephes' expf.
_LN2_HIGH, _LN2_LOW = _f32(0.693359375), _f32(-2.12194440e-4)
_LOWEST = _f32(-87.0)
_EPS = np.finfo(np.float32).eps
_LINE = 16
"""Numbers in a cache line."""
_BLOCK = 128
"""At most so many tokens are summed at once when a token is looked up in the cumulative distribution."""


def _float_of_bits_code(typing: Any, bits: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


_float_of_bits: Any = intrinsic(_float_of_bits_code)
"""``(bits)``: the float32 of 32 bits."""


def _prefetch_code(typing: Any, array: Any, index: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, *(ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


_prefetch: Any = intrinsic(_prefetch_code)
"""``(array, index)``: ask for ``array[index]`` (one dimension, contiguous) to be brought into the cache."""


@njit(**_OPTIONS)
def _fetch(flat: Array, start: int, stop: int) -> None:
    """Prefetch a piece of an array, a cache line at a time."""
    for line in range(start, min(stop, len(flat)), _LINE):
        _prefetch(flat, line)


@njit(fastmath={"contract", "nsz"}, nogil=True, cache=_OPTIONS["cache"], error_model="numpy")
def _exp(x: Any) -> Any:
    """``e^x`` for x <= 87, in operations that the compiler can vectorise; their order keeps it within 1e-7."""
    x = _LOWEST if x < _LOWEST else x  # in this order a NaN stays
    biased = _i32(x * _LOG2E + _f32(127.5))
    power = _f32(biased) - _f32(127.0)
    r = x - power * _LN2_HIGH - power * _LN2_LOW
    y = _f32(1.9875691500e-4) * r + _f32(1.3981999507e-3)
    y = y * r + _f32(8.3334519073e-3)
    y = y * r + _f32(4.1665795894e-2)
    y = y * r + _f32(1.6666665459e-1)
    y = y * r + _f32(5.0000001201e-1)
    y = y * r * r + r + _f32(1.0)
    return y * _float_of_bits(_i32(biased << _i32(23)))


@njit(fastmath=True, nogil=True, cache=_OPTIONS["cache"], error_model="numpy")
def _highest(scores: Array, count: int) -> Any:
    peak = scores[0]
    for j in range(count):
        peak = max(peak, scores[j])
    return peak


@njit(**_OPTIONS)
def _softmax(scores: Array, count: int) -> Any:
    """Replace the first ``count`` scores by their exponentials (highest: 1); one over their sum."""
    peak = _highest(scores, count)
    total = _f32(0.0)
    for j in range(count):
        p = _exp(scores[j] - peak)
        scores[j] = p
        total += p
    return _f32(1.0) / total


@njit(**_OPTIONS)
def _attend(
    q: Array, kt: Array, vt: Array, next_kt: Array, next_vt: Array, count: int, scores: Array, out: Array
) -> None:
    """One query ``(dim,)`` over the first ``count`` keys and values ``(dim, tokens)``; dim is even.

    The keys and values of the next query are fetched meanwhile.
    """
    dim = len(q)
    scale = _f32(1.0) / _f32(math.sqrt(dim))
    for j in range(count):
        scores[j] = _f32(0.0)
    d = 0
    while d + 3 < dim:
        for row in range(d, d + 4):
            _fetch(next_kt[row], 0, count)
        q0, q1, q2, q3 = scale * q[d], scale * q[d + 1], scale * q[d + 2], scale * q[d + 3]
        k0, k1, k2, k3 = kt[d], kt[d + 1], kt[d + 2], kt[d + 3]
        for j in range(count):
            scores[j] += q0 * k0[j] + q1 * k1[j] + q2 * k2[j] + q3 * k3[j]
        d += 4
    if d < dim:
        q0, q1, k0, k1 = scale * q[d], scale * q[d + 1], kt[d], kt[d + 1]
        for j in range(count):
            scores[j] += q0 * k0[j] + q1 * k1[j]
    norm = _softmax(scores, count)
    for d in range(0, dim, 2):
        _fetch(next_vt[d], 0, count)
        _fetch(next_vt[d + 1], 0, count)
        v0, v1 = vt[d], vt[d + 1]
        sum0, sum1 = _f32(0.0), _f32(0.0)
        for j in range(count):
            sum0 += scores[j] * v0[j]
            sum1 += scores[j] * v1[j]
        out[d], out[d + 1] = sum0 * norm, sum1 * norm


@njit(**_OPTIONS)
def _rotate(x: Array, cos: Array, sin: Array, split: bool, out: Array) -> None:
    """Rotate the pairs of one head ``(dim,)``; see :func:`rxt_mrl.model.rope.rotate`."""
    half = len(cos)
    for j in range(half):
        a, b = x[2 * j], x[2 * j + 1]
        first, second = (j, j + half) if split else (2 * j, 2 * j + 1)
        out[first] = a * cos[j] - b * sin[j]
        out[second] = a * sin[j] + b * cos[j]


@njit(**_OPTIONS)
def _all_heads(q: Array, queries: int, kt: Array, vt: Array, b: int, count: int, scores: Array, out: Array) -> None:
    """Every head of row b: q ``(query heads * dim,)``, out ``(max(query, kv) heads * dim,)``."""
    rows, groups, dim = kt.shape[:3]
    heads = max(queries, groups)  # with fewer queries than groups ("reversed" SQA) the queries are tiled
    for head in range(heads):
        at, group = (head % queries) * dim, head * groups // heads
        row, following = (b, (head + 1) * groups // heads) if head + 1 < heads else (min(b + 1, rows - 1), 0)
        to = out[head * dim : (head + 1) * dim]
        _attend(q[at : at + dim], kt[b, group], vt[b, group], kt[row, following], vt[row, following], count, scores, to)


@njit(**_OPTIONS)
def self_attention_step(
    qkv: Array, queries: int, cos: Array, sin: Array, lengths: Array, split: bool, kt: Array, vt: Array, out: Array
) -> None:
    """Rotate the new queries and keys, append keys and values at ``lengths``, attend to all tokens so far.

    Args:
        qkv: ``(batch, (queries + 2 kv heads) * dim)``; its queries and keys are rotated in place.
        queries: query heads.
        cos: ``(positions, dim/2)``.
        sin: as cos.
        lengths: long ``(batch,)``, tokens before this one.
        split: layout of rotated pairs.
        kt: ``(batch, kv heads, dim, capacity)``, written at ``lengths``.
        vt: as kt.
        out: ``(batch, max(queries, kv heads) * dim)``, written.
    """
    groups, dim = kt.shape[1], kt.shape[2]
    scores, head = np.empty(kt.shape[3], np.float32), np.empty(dim, np.float32)
    for b in range(len(qkv)):
        position = lengths[b]
        for h in range(queries + groups):
            x = qkv[b, h * dim : (h + 1) * dim]
            _rotate(x, cos[position], sin[position], split, head)
            x[:] = head
        for g in range(groups):
            for d in range(dim):
                kt[b, g, d, position] = qkv[b, (queries + g) * dim + d]
                vt[b, g, d, position] = qkv[b, (queries + groups + g) * dim + d]
        _all_heads(qkv[b], queries, kt, vt, b, position + 1, scores, out[b])


@njit(**_OPTIONS)
def memory_attention_step(
    q: Array, queries: int, cos: Array, sin: Array, lengths: Array, split: bool, kt: Array, vt: Array, out: Array
) -> None:
    """Rotate the queries ``(batch, queries * dim)`` and attend to all slots; arguments as above."""
    dim, slots = kt.shape[2], kt.shape[3]
    scores, rotated = np.empty(slots, np.float32), np.empty(queries * dim, np.float32)
    for b in range(len(q)):
        position = lengths[b]
        for at in range(0, queries * dim, dim):
            _rotate(q[b, at : at + dim], cos[position], sin[position], split, rotated[at : at + dim])
        _all_heads(rotated, queries, kt, vt, b, slots, scores, out[b])


@njit(**_OPTIONS)
def _add_products(x: Array, rows: Array, w: Array, out: Array) -> None:
    """``out[i] += x[rows[i]] @ w`` with w ``(inputs, outputs)``.

    Four inputs at a time for all rows: their weights come from memory once, while those before them are worked on.
    """
    count, inputs, outputs = len(rows), w.shape[0], w.shape[1]
    whole = inputs - inputs % 4
    flat = w.ravel()
    share = 4 * outputs // ((count + 1) // 2) // _LINE * _LINE + _LINE
    for k in range(0, whole, 4):
        w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        next_weights = (k + 4) * outputs
        for i in range(0, count, 2):
            _fetch(flat, next_weights, next_weights + share)
            next_weights += share
            a, to_a = x[rows[i]], out[i]
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            if i + 1 < count:
                b, to_b = x[rows[i + 1]], out[i + 1]
                b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
                for j in range(outputs):
                    # Both sums before both stores: the weights are loaded once.
                    sum_a = to_a[j] + (a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j])
                    sum_b = to_b[j] + (b0 * w0[j] + b1 * w1[j] + b2 * w2[j] + b3 * w3[j])
                    to_a[j], to_b[j] = sum_a, sum_b
            else:
                for j in range(outputs):
                    to_a[j] += a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
    for k in range(whole, inputs):
        for i in range(count):
            factor, to_a, w0 = x[rows[i], k], out[i], w[k]
            for j in range(outputs):
                to_a[j] += factor * w0[j]


@njit(**_OPTIONS)
def _activation(x: Any, activation: int) -> Any:
    if activation == 1:
        return x if not x < _f32(0.0) else _f32(0.0)
    if activation == 4:
        return _f32(0.5) * x * (_f32(1.0) + _f32(math.erf(x * _f32(math.sqrt(0.5)))))
    if activation == 5:
        return x
    # The others are made of a sigmoid; of 2 x for tanh. Beyond -80 it is zero in float32 in any case.
    z = -x if activation != 3 else _f32(-2.0) * x
    sigmoid = _f32(1.0) / (_f32(1.0) + _exp(_f32(80.0) if z > _f32(80.0) else z))
    if activation == 0:
        return x * sigmoid
    return sigmoid if activation == 2 else _f32(2.0) * sigmoid - _f32(1.0)


@njit(**_OPTIONS)
def _activate(hidden: Array, activation: int, gated: bool) -> None:
    """Activate ``(inner,)`` in place; gated: its first half becomes linear part times activated second half."""
    width = len(hidden)
    if gated:
        width //= 2
        for j in range(width):
            hidden[j] *= _activation(hidden[width + j], activation)
    else:
        for j in range(width):
            hidden[j] = _activation(hidden[j], activation)


@njit(**_OPTIONS)
def _choose(logits: Array, chosen: Array, weights: Array) -> None:
    """The experts of the highest logits ``(experts,)``, and their renormalised softmax weights, both ``(k,)``."""
    norm = _softmax(logits, len(logits))
    total = _f32(1e-9)
    for slot in range(len(chosen)):
        best = -1
        for expert in range(len(logits)):
            taken = False
            for earlier in range(slot):
                taken = taken or chosen[earlier] == expert
            if not taken and (best < 0 or logits[expert] > logits[best]):
                best = expert
        chosen[slot] = best
        weights[slot] = logits[best] * norm
        total += weights[slot]
    for slot in range(len(chosen)):
        weights[slot] /= total


@njit(**_OPTIONS)
def experts_step(
    x: Array,
    logits: Array,
    top_k: int,
    w1: Array,
    b1: Array,
    w2: Array,
    b2: Array,
    activation: int,
    gated: bool,
    out: Array,
) -> None:
    """Add to ``out`` the weighted outputs of the ``top_k`` experts of every row: each expert once, on its own rows.

    Args:
        x: ``(rows, dim)``.
        logits: of the router, ``(rows, experts)``; overwritten.
        top_k: experts per row.
        w1: ``(experts, dim, inner)``.
        b1: ``(experts, inner)``.
        w2: ``(experts, hidden, dim)``.
        b2: ``(experts, dim)``.
        activation: one of :data:`ACTIVATIONS`.
        gated: whether the first half of the inner dimension is gated by the second.
        out: ``(rows, dim)``.
    """
    rows, dim = x.shape
    experts, inner = b1.shape
    chosen, weights = np.empty((rows, top_k), np.int64), np.empty((rows, top_k), np.float32)
    counts = np.zeros(experts, np.int64)
    for row in range(rows):
        _choose(logits[row], chosen[row], weights[row])
        for slot in range(top_k):
            counts[chosen[row, slot]] += 1
    most = counts.max()
    members, slots = np.empty(most, np.int64), np.empty(most, np.int64)
    everyone = np.arange(most)
    # A line more per row: rows a multiple of 4 KiB apart, as the weights' are, wait for each other.
    hidden, result = np.empty((most, inner + _LINE), np.float32), np.empty((most, dim), np.float32)
    for expert in range(experts):
        count = 0
        for row in range(rows):
            for slot in range(top_k):
                if chosen[row, slot] == expert:
                    members[count], slots[count] = row, slot
                    count += 1
        for i in range(count):
            hidden[i, :inner], result[i] = b1[expert], b2[expert]
        _add_products(x, members[:count], w1[expert], hidden)
        for i in range(count):
            _activate(hidden[i, :inner], activation, gated)
        _add_products(hidden, everyone[:count], w2[expert], result)
        for i in range(count):
            weight, to, term = weights[members[i], slots[i]], out[members[i]], result[i]
            for j in range(dim):
                to[j] += weight * term[j]


@njit(**_OPTIONS)
def rms_norm_step(x: Array, weight: Array, out: Array) -> None:
    """Root-mean-square norm of every row of x ``(rows, dim)``; eps is float32's."""
    dim = x.shape[1]
    for row in range(len(x)):
        square = _f32(0.0)
        for j in range(dim):
            square += x[row, j] * x[row, j]
        scale = _f32(1.0) / _f32(math.sqrt(square / _f32(dim) + _EPS))
        for j in range(dim):
            out[row, j] = x[row, j] * scale * weight[j]


@njit(**_OPTIONS)
def _normed_products(x: Array, norm: Array, w: Array) -> Array:
    """``rms_norm(x) @ w`` of all rows, with w ``(dim, outputs)``."""
    h = np.empty_like(x)
    rms_norm_step(x, norm, h)
    out = np.zeros((len(x), w.shape[1]), np.float32)
    _add_products(h, np.arange(len(x)), w, out)
    return out


@njit(**_OPTIONS)
def attention_residual_step(
    x: Array,
    norm: Array,
    w_in: Array,
    queries: int,
    cos: Array,
    sin: Array,
    lengths: Array,
    split: bool,
    kt: Array,
    vt: Array,
    append: bool,
    w_out: Array,
    b_out: Array,
) -> None:
    """``x += attention(rms_norm(x))``, projections included; ``append``: self-attention, else over the memory.

    Args:
        x: ``(batch, dim)``, changed.
        norm: weight of the norm ``(dim,)``.
        w_in: ``(dim, outputs)``: queries, or queries, keys and values; then as in :func:`self_attention_step`.
        append: whether keys and values of x are appended.
        w_out: ``(heads * head dim, dim)``.
        b_out: ``(dim,)``.
    """
    projected = _normed_products(x, norm, w_in)
    context = np.empty((len(x), len(w_out)), np.float32)
    if append:
        self_attention_step(projected, queries, cos, sin, lengths, split, kt, vt, context)
    else:
        memory_attention_step(projected, queries, cos, sin, lengths, split, kt, vt, context)
    x += b_out
    _add_products(context, np.arange(len(x)), w_out, x)


@njit(**_OPTIONS)
def experts_residual_step(
    x: Array,
    norm: Array,
    router: Array,
    top_k: int,
    w_in: Array,
    b_in: Array,
    w_out: Array,
    b_out: Array,
    bias: Array,
    activation: int,
    gated: bool,
) -> None:
    """``x += experts(rms_norm(x)) + bias``; router ``(dim, experts)``, the rest as in :func:`experts_step`."""
    h = np.empty_like(x)
    rms_norm_step(x, norm, h)
    logits = np.zeros((len(x), router.shape[1]), np.float32)
    _add_products(h, np.arange(len(x)), router, logits)
    x += bias
    experts_step(h, logits, top_k, w_in, b_in, w_out, b_out, activation, gated, x)


@njit(**_OPTIONS)
def draw_step(logits: Array, temperature: float, uniforms: Array, ids: Array, log_probs: Array, totals: Array) -> None:
    """Draw one token per row by inverse CDF, from all of the vocabulary.

    Args:
        logits: ``(rows, vocab)``.
        temperature: divides them.
        uniforms: ``(rows,)`` in [0, 1).
        ids: long ``(rows,)``, written: always a token of positive probability, if there is one.
        log_probs: ``(rows,)``, written.
        totals: ``(rows,)``, written: sums of the probabilities relative to the highest; not finite when a logit is.
    """
    vocab = logits.shape[1]
    weights, sums = np.empty(vocab, np.float32), np.empty((vocab + _BLOCK - 1) // _BLOCK, np.float32)
    factor = _f32(1.0 / temperature)
    for row in range(len(logits)):
        scores = logits[row]
        peak = _highest(scores, vocab)
        total = _f32(0.0)
        for block in range(len(sums)):
            start, stop = block * _BLOCK, min(vocab, (block + 1) * _BLOCK)
            for j in range(start, stop):
                x = (scores[j] - peak) * factor
                weights[j] = _f32(0.0) if x < _LOWEST else _exp(x)
            part = _f32(0.0)
            for j in range(start, stop):
                part += weights[j]
            sums[block] = part
            total += part
        left, block = uniforms[row] * total, 0
        while block < len(sums) - 1 and left >= sums[block]:
            left -= sums[block]
            block += 1
        chosen, last = -1, 0
        for j in range(block * _BLOCK, min(vocab, (block + 1) * _BLOCK)):
            if chosen < 0 and weights[j] > _f32(0.0):
                last = j
                if left < weights[j]:
                    chosen = j
                left -= weights[j]
        # Rounding may leave a rest behind the last token of the block.
        ids[row] = chosen if chosen >= 0 else last
        log_probs[row] = (scores[ids[row]] - peak) * factor - _f32(math.log(total))
        totals[row] = total

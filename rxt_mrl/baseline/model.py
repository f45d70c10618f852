"""A decoder-only causal language model as large as an RxT, and our tokenizer as ``transformers`` knows tokenizers."""

from __future__ import annotations

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..model import RxTConfig

TOLERANCE = 0.1
"""How far the number of parameters may be from the RxT's, as a share of it."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{- '[BOS][Q]' + message['content'] + '[A]' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '[EOS]' -}}{%- endgeneration -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""Interactions one after the other as the RxT sees each: ``[BOS][Q]query[A]answer[EOS]``. A query ends with what asks
for the answer, so nothing is added where one is to be generated."""


def causal_lm(
    config: RxTConfig, parameters: int, tokenizer: DialogueTokenizer, *, positions: int, layers: int | None = None
) -> LlamaForCausalLM:
    """A fresh Llama as wide as the RxT and with as many parameters.

    The feed-forward blocks take up what is left when the layers are chosen. The head is tied to the embedding: to
    answer is to copy a word of the history, and tied, what copies one word copies all.

    Args:
        config: of the RxT.
        parameters: of the RxT.
        tokenizer: the RxT's.
        positions: tokens of the longest history.
        layers: None: as many as fit with feed-forward blocks twice as wide as the RxT's.

    Raises:
        UserError: when no model of so many parameters has so many layers.
    """
    width, vocabulary = config.embed_dim, tokenizer.vocab_size
    stack = config.decoder or config.encoder
    assert stack is not None, "an RxT has a decoder"
    rest = parameters - vocabulary * width - width
    attention = 4 * width**2 + 2 * width  # projections and the two norms
    layers = layers or max(1, round(rest / (attention + 3 * width * 2 * stack.feed_forward.hidden)))
    hidden = round((rest / layers - attention) / (3 * width))
    if hidden < 1:
        raise UserError(
            f"baseline.layers = {layers}: {parameters:,} parameters of width {width} have no room for so many"
        )
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=_heads(width),
            max_position_embeddings=positions,
            initializer_range=(3 * width) ** -0.5,  # as torch draws a linear layer: the default is for widths of 4096
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_id,
            eos_token_id=tokenizer.eos_id,
            pad_token_id=tokenizer.pad_id,
        )
    )
    found = model.num_parameters()
    if abs(found - parameters) > TOLERANCE * parameters:
        raise UserError(f"baseline.layers = {layers}: the peer has {found:,} parameters, the RxT {parameters:,}")
    return model


def _heads(width: int) -> int:
    """As many as can be 32 wide or wider: narrower ones have few directions for what they look for and where."""
    return next(heads for heads in range(max(1, width // 32), 0, -1) if width % (2 * heads) == 0)


def chat_tokenizer(tokenizer: DialogueTokenizer, *, positions: int) -> PreTrainedTokenizerFast:
    """The same vocabulary with our interaction template as its chat template."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="[BOS]",
        eos_token="[EOS]",
        mask_token="[MASK]",
        additional_special_tokens=["[Q]", "[A]"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=positions,
        padding_side="left",
    )

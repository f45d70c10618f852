"""How a stateless language model is shown a dialogue: its chat template or, where it has none, a plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import UserError

Said = tuple[str, str]
"""A query and its answer."""


class Prompt(NamedTuple):
    """What a model reads before it answers, and how many of the oldest interactions did not fit."""

    ids: list[int]
    dropped: int


class Prompts:
    """Makes prompts of histories.

    Args:
        tokenizer: a ``transformers`` tokenizer.
        context: tokens that the model reads at most, answer included; None: no limit.
    """

    def __init__(self, tokenizer: Any, context: int | None) -> None:
        self._tokenizer, self._context = tokenizer, context
        self.template = "chat" if getattr(tokenizer, "chat_template", None) else "plain"
        self.ends = self._ends()
        """Ids that end an answer; the first one is what follows it in a history."""

    def prompt(self, history: Sequence[Said], query: str, room: int) -> Prompt:
        """The whole history and the query, or as much of the newest history as fits.

        Args:
            history: completed interactions, oldest first.
            query: what is asked.
            room: tokens to leave for the answer.

        Raises:
            UserError: when the query alone does not fit.
        """
        for dropped in range(len(history) + 1):
            ids = self._encode(self._text(history[dropped:], query))
            if self._context is None or len(ids) + room <= self._context:
                return Prompt(ids, dropped)
        raise UserError(
            f"a query has {len(ids)} tokens and its answer may have {room}; the model reads {self._context} "
            "(evaluation.max_new_tokens makes answers shorter)"
        )

    def answer(self, text: str) -> list[int]:
        """The ids of an answer with what ends it."""
        return [*self._encode(text if self.template == "chat" else f" {text}"), self.ends[0]]

    def said(self, ids: Sequence[int]) -> tuple[str, bool]:
        """The text that was generated, and whether it was ended."""
        ended = next((place for place, token in enumerate(ids) if token in self.ends), None)
        text = self._tokenizer.decode(ids[:ended], skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()
        line, cut, _ = text.partition("\n") if self.template == "plain" else (text, "", "")
        return line.strip(), ended is not None or bool(cut)

    def _text(self, history: Sequence[Said], query: str) -> str:
        if self.template == "plain":
            return "".join(f"[Q] {asked}\n[A] {answer}\n" for asked, answer in history) + f"[Q] {query}\n[A]"
        messages = [
            {"role": role, "content": text}
            for said in history
            for role, text in zip(("user", "assistant"), said, strict=True)
        ]
        return self._render([*messages, {"role": "user", "content": query}], asks=True)

    def _render(self, messages: list[dict[str, str]], *, asks: bool) -> str:
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks))
        except Exception as error:  # a template is a program of its own
            message = " ".join(str(error).split())
            raise UserError(f"the chat template of the model refuses a dialogue: {message}") from error

    def _ends(self) -> tuple[int, ...]:
        """What the template writes behind an answer, and the tokenizer's own end."""
        own = [self._tokenizer.eos_token_id] if self._tokenizer.eos_token_id is not None else []
        if self.template == "plain":
            first = self._encode("\n")[-1:]
        else:
            asked = {"role": "user", "content": "Q"}
            whole = self._render([asked, {"role": "assistant", "content": "@@"}], asks=False)
            first = self._encode(whole.rpartition("@@")[2])[:1]
        if not (ends := (*first, *own)):
            raise UserError("the model's tokenizer has nothing that ends an answer (no eos_token, no chat template)")
        return tuple(dict.fromkeys(ends))

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

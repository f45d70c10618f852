"""Texts in ``info`` as Gymnasium's wrappers want them: a dict of arrays, one row for each environment."""

from __future__ import annotations

from typing import Any

from rxt_mrl.contracts import TokenText


class TextInfo(dict[str, Any]):
    """``ids`` int64 and ``mask`` bool ``(num_envs, tokens)``; everything else of the :class:`TokenText` as attributes.

    So ``info["generated"]["ids"]`` is an array, which ``DictInfoToList`` takes apart, and ``info["generated"].text``
    are the decoded strings.
    """

    def __init__(self, tokens: TokenText) -> None:
        super().__init__(ids=tokens.ids.numpy(), mask=tokens.mask.numpy())
        self._tokens = tokens

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pickling asks before there are tokens
            raise AttributeError(name)
        return getattr(self._tokens, name)

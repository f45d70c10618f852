"""Scripts without spaces between words (Chinese, Japanese, Korean): numerals, and how they join and deny."""

from __future__ import annotations

from collections.abc import Sequence

import regex

LETTER = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Each letter of these scripts is read as a word; for a set of a regular expression."""

_DIGITS = {digit: value for value, row in enumerate(("〇零", "一", "二两兩", "三", "四", "五", "六", "七", "八", "九"))
           for digit in row}  # fmt: skip
_TIMES = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
NUMERALS = "".join((*_DIGITS, *_TIMES, *_MYRIADS))

_JOINED = regex.compile(rf"(?:和|与|與|跟|或|还是|と(?!言|思|い|申|も|呼)|や|か|または|와|과|또는)[{LETTER}]")
_DENIED = regex.compile(r"(?:では|じゃ|で)(?:な|あ?りません)|아니|않")


def numeral(digits: str) -> int | None:
    """The value of a numeral in Chinese characters; None where it is none ("万一")."""
    if len(digits) > 1 and all(digit in _DIGITS for digit in digits):  # 二〇二四
        return int("".join(str(_DIGITS[digit]) for digit in digits))
    total = section = number = 0
    scale, myriad = 10**4, 10**12
    for digit in digits:
        if digit in _DIGITS:
            if number:
                return None
            number = _DIGITS[digit]
        elif digit in _TIMES:
            if _TIMES[digit] >= scale or (not number and digit != "十"):
                return None
            scale, section, number = _TIMES[digit], section + (number or 1) * _TIMES[digit], 0
        else:
            if _MYRIADS[digit] >= myriad or not section + number:
                return None
            myriad, total = _MYRIADS[digit], total + (section + number) * _MYRIADS[digit]
            scale, section, number = 10**4, 0, 0
    return total + section + number


def joined(after: Sequence[str]) -> bool:
    """Whether these words, behind a value, join another one to it ("りんごとみかん")."""
    return bool(_JOINED.match("".join(after[:4])))


def denied(after: Sequence[str]) -> bool:
    """Whether these words, the rest of the value's clause, deny it ("りんごではない")."""
    return bool(_DENIED.search("".join(after[:8])))

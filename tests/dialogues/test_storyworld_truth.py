"""A reader that knows the sentences, and nothing of the generator's state, checks every annotated fact."""

import re

import pytest

from rxt_mrl.dialogues.storyworld import SLOTS, StoryworldConfig, dialogues
from rxt_mrl.dialogues.storyworld.phrasing import COMPARISONS
from rxt_mrl.dialogues.storyworld.vocabulary import NUMBERS

WORDS = {number: word for word, number in NUMBERS.items()}


def pattern(template: str, tail: str = "") -> re.Pattern[str]:
    """A template as a regular expression with the groups ``s`` (role) and ``n`` (value)."""
    text = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    text = text.replace("{S}", r"[Tt]he (?P<s>\w+)").replace("{s}", r"[Tt]he (?P<s>\w+)")
    return re.compile(text.replace("{n}", r"(?:an? |the )?(?P<n>\w+)") + tail)


TELLS = [(slot, pattern(slot.says[0][0])) for slot in SLOTS]
CHANGES = [(slot, pattern(text), index) for slot in SLOTS for index, text in enumerate(slot.changes)]
ASKS = [(slot, pattern(slot.says[0][1])) for slot in SLOTS]
CHECKS = [(slot, pattern(slot.check)) for slot in SLOTS]
WHO = [(slot, pattern(slot.who)) for slot in SLOTS if slot.who]
OPENING = re.compile(r"(?:Once there was|There was also) an? (?P<s>\w+)(?: named (?P<n>\w+))?\.")


class Reader:
    """Reads statements, remembers them by character and slot, and answers questions."""

    def __init__(self) -> None:
        self.history: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self.met: dict[str, int] = {}

    def read(self, text: str, turn: int) -> str:
        """Take in the statements of a query; return the question, if any."""
        question = ""
        for sentence in re.findall(r"[^.?]+[.?]", text):
            sentence = sentence.strip()
            if sentence.endswith("?"):
                question = sentence
            elif opening := OPENING.fullmatch(sentence):
                self.met.setdefault(opening["s"], turn)
                if opening["n"]:
                    self.note(opening["s"], "name", opening["n"], turn)
            else:
                self.statement(re.sub(r", not (?:an? |the )?\w+\.$", ".", sentence), turn)
        return question

    def statement(self, sentence: str, turn: int) -> None:
        for slot, regex, index in CHANGES:
            if slot.numeric and (match := regex.fullmatch(sentence)):
                old = NUMBERS[self.history[match["s"], slot.name][-1][0]]
                step = NUMBERS[match["n"]]
                return self.note(match["s"], slot.name, WORDS[old - step if index else old + step], turn)
        plain = re.sub(r"^Then the", "The", sentence)
        for slot, regex in [*TELLS, *((slot, regex) for slot, regex, _ in CHANGES if not slot.numeric)]:
            if match := regex.fullmatch(plain) or regex.fullmatch(sentence):
                role = match["s"] if slot.scope == "character" else ""
                return self.note(role, slot.name, match["n"], turn)
        return None

    def note(self, role: str, slot: str, value: str, turn: int) -> None:
        self.history.setdefault((role, slot), []).append((value, turn))
        self.met.setdefault(role, turn)

    def answer(self, question: str) -> tuple[str, int, str]:
        """Value, told_at and kind."""
        at_first = question.startswith("At first, ")
        text = re.sub(r"^(?:At first|In the end), (\w)", lambda match: match[1].upper(), question)
        if text == "How many characters do we know by now?":
            characters = {role: turn for role, turn in self.met.items() if role}
            return WORDS[len(characters)], max(characters.values()), "tally"
        for name, options in COMPARISONS.items():
            for asked, _, largest in options:
                if text == asked:
                    known = [(NUMBERS[h[-1][0]], h[-1][1], key[0]) for key, h in self.history.items() if key[1] == name]
                    number, turn, role = (max if largest else min)(known)
                    assert len(known) > 1
                    assert [item[0] for item in known].count(number) == 1
                    return role, turn, "compare"
        if text.startswith("What was the name of the person who"):
            who = "W" + text.removeprefix("What was the name of the person w")
            role, _ = self.character(who)
            return (*self.history[role, "name"][-1], "hop")
        for slot, regex in ASKS:
            if match := regex.fullmatch(text):
                told = self.history[match["s"] if slot.scope == "character" else "", slot.name]
                return (*told[0 if at_first else -1], "before" if at_first else "recall")
        for slot, regex in CHECKS:
            if match := regex.fullmatch(text):
                value, turn = self.history[match["s"] if slot.scope == "character" else "", slot.name][-1]
                return ("Yes" if match["n"] == value else value), turn, "check"
        return (*self.character(text), "who")

    def character(self, question: str) -> tuple[str, int]:
        for slot, regex in WHO:
            if match := regex.fullmatch(question):
                found = [
                    (key[0], told[-1][1])
                    for key, told in self.history.items()
                    if key[1] == slot.name and told[-1][0] == match["n"]
                ]
                assert len(found) == 1, question
                return found[0]
        raise AssertionError(f"not understood: {question}")


QUESTIONS = {"recall": 1, "before": 1, "check": 1, "who": 1, "hop": 1, "compare": 2, "tally": 0.3}


@pytest.mark.parametrize("strategy", ["multi_step", "long_range"])
def test_every_annotated_fact_is_true(strategy):
    config = StoryworldConfig(level="hard", strategy=strategy, steps=12, phrasings=1, questions=QUESTIONS)
    kinds: dict[str, int] = {}
    for dialogue in dialogues(config, 150):
        reader = Reader()
        first = dialogue.query if "Tell me" not in dialogue.query else dialogue.answer
        assert reader.read(first, 0) == ""
        for turn, interaction in enumerate(dialogue.interactions, start=1):
            question = reader.read(interaction.query, turn)
            if not interaction.asks:
                assert question == ""
                continue
            (ask,) = interaction.asks
            value, told_at, kind = reader.answer(question)
            assert (ask.value, ask.told_at) == (value, told_at), interaction
            assert re.search(rf"\b{value}\b", interaction.answer)
            assert not re.search(rf"\b{value}\b", interaction.query), "the query gives the answer away"
            assert value not in ask.wrong
            assert not any(re.search(rf"\b{word}\b", interaction.answer) for word in ask.wrong)
            if kind == "recall":
                told = next(told for told in reader.history.values() if told[-1] == (value, told_at))
                assert {word for word, _ in told} - {value} <= set(ask.wrong), "outdated values are wrong"
            kinds[kind] = kinds.get(kind, 0) + 1
    assert set(kinds) == set(QUESTIONS)
    assert min(kinds.values()) >= 10, kinds

"""Benchmarks of long conversations that say where each answer was told: LoCoMo's layout and LongMemEval's.

The sessions are told first, an interaction for each turn with its reply (or for each session, ``unit: session``); then
come the questions. The evidence of a question gives its ``told_at``: the interaction of the oldest. A question that
nothing answers has ``NEVER_TOLD``, and the answer ``unknown``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....contracts import NEVER_TOLD, Ask, Dialogue, Interaction
from ..rows import Passed, RowError
from ..tally import Tally
from .checks import list_of
from .layouts import Layout, roles_for
from .options import ChatOptions
from .turns import Exchange, Turn, content_of, exchanges

NAMES = ("locomo", "longmemeval")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about what was told.

    Attributes:
        query: the question.
        answer: the right answer; empty where nothing answers it.
        evidence: names of the turns that do.
        wrong: an answer that looks right.
        kind: what the benchmark calls this kind of question.
    """

    query: str
    answer: str
    evidence: frozenset[str]
    wrong: tuple[str, ...] = ()
    kind: str = ""


def dialogues(row: Any, layout: Layout, options: ChatOptions, tally: Tally, *, steps: int | None) -> list[Dialogue]:
    """The dialogues of a row: all sessions, then the questions; or ``steps`` follow-ups, with as many of both as fit.

    With ``steps``, interactions that no question of the dialogue needs are left out, the oldest first, and a
    conversation that is too short is passed over.

    Raises:
        RowError: the row is not of this layout.
        Passed: it cannot have so many follow-ups.
    """
    told, questions = _read(row, layout, options, tally)
    if not told:
        raise Passed("nothing is told")
    if not questions:
        raise Passed("nothing is asked")
    count = options.questions or (len(questions) if steps is None else max(1, steps + 1 - len(told)))
    room = None if steps is None else steps + 1 - min(count, steps)
    groups = [questions[start : start + count] for start in range(0, len(questions), count)]
    if steps is not None and len(groups[-1]) < count:
        short = groups.pop()
        tally.drop(2 * len(short), 0, "questions over")
        if not groups:
            raise Passed(f"fewer than {count} questions")
    made, used = [], set[int]()
    for group in groups:
        places = _chosen(told, group, room)
        if places is None:
            tally.drop(2 * len(group), 0, f"what the questions need does not fit {steps} follow-ups")
            continue
        used.update(places)
        made.append(_dialogue([told[place] for place in places], group, options))
    if not made:
        raise Passed(f"fewer than {steps} follow-ups, or more than that is needed")
    for place, exchange in enumerate(told):
        if place not in used:
            tally.drop(exchange.read, exchange.joined, "left out to fit the steps")
    return made


def pairs(row: Any, layout: Layout, options: ChatOptions, tally: Tally) -> list[tuple[str, str]]:
    """Each question with the turns that answer it in one query; then the turns with their replies."""
    told, questions = _read(row, layout, options, tally)
    found = []
    for question in questions:
        support = [f"{e.interaction.query} {e.interaction.answer}" for e in told if e.names & question.evidence]
        found.append((" ".join([*support, question.query]), question.answer or options.unknown))
    return found + [(exchange.interaction.query, exchange.interaction.answer) for exchange in told]


def _chosen(told: Sequence[Exchange], questions: Sequence[Question], room: int | None) -> list[int] | None:
    """Places of the interactions that are told: all, or ``room`` of them with all evidence; None where none fit."""
    if room is None or len(told) == room:
        return list(range(len(told)))
    needed = frozenset[str]().union(*(question.evidence for question in questions))
    must = [place for place, exchange in enumerate(told) if exchange.names & needed]
    if len(told) < room or len(must) > room:
        return None
    others = [place for place in range(len(told)) if place not in set(must)]
    return sorted([*must, *others[len(others) - (room - len(must)) :]])


def _dialogue(told: Sequence[Exchange], questions: Sequence[Question], options: ChatOptions) -> Dialogue:
    first, *rest = (exchange.interaction for exchange in told)
    asked = [
        Interaction(question.query, question.answer or options.unknown, _asks(question, told)) for question in questions
    ]
    return Dialogue(first.query, first.answer, (*rest, *asked))


def _asks(question: Question, told: Sequence[Exchange]) -> tuple[Ask, ...]:
    if not question.answer:
        return (Ask("", NEVER_TOLD, question.wrong, question.kind),)
    places = [place for place, exchange in enumerate(told) if exchange.names & question.evidence]
    return (Ask(question.answer, min(places), question.wrong, question.kind),) if places else ()


def lost_turns(row: Any, layout: Layout) -> int:
    """How many turns a row has that cannot be used, as far as its lists tell; a question is two."""
    if not isinstance(row, Mapping):
        return 0
    told, asked = row.get(layout.turns), row.get("qa") if layout.name == "locomo" else [row.get("question")]
    sessions = [told[key] for key in _session_keys(told)] if isinstance(told, Mapping) else told
    lists = [part for part in sessions if isinstance(part, list)] if isinstance(sessions, list) else []
    return sum(map(len, lists)) + 2 * (len(asked) if isinstance(asked, list) else 0)


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(row: Any, layout: Layout, options: ChatOptions, tally: Tally) -> tuple[list[Exchange], list[Question]]:
    if not isinstance(row, Mapping):
        raise RowError(f"the row is {type(row).__name__}, an object is needed")
    sessions, questions = _locomo(row, tally) if layout.name == "locomo" else _longmemeval(row, tally)
    told: list[Exchange] = []
    whole = options.model_copy(update={"unanswered": "acknowledge"})  # what is told last may be asked for
    for turns in sessions:
        if turns and turns[0].role == "assistant":  # nothing was asked: it only tells
            turns = [replace(turns[0], role="system"), *turns[1:]]
        found, counted = exchanges(turns, whole)
        tally.add(counted)
        told += found if options.unit == "turn" else [_whole(found, options)] if found else []
    asked = [question for question in questions if question.query.strip()]
    tally.read += 2 * len(asked)
    tally.dropped["empty"] += 2 * (len(questions) - len(asked))
    tally.dropped = +tally.dropped
    return told, asked


def _whole(session: Sequence[Exchange], options: ChatOptions) -> Exchange:
    """A session as one interaction that is acknowledged."""
    lines = [text for exchange in session for text in (exchange.interaction.query, exchange.interaction.answer)]
    return Exchange(
        Interaction("\n".join(lines), options.acknowledge),
        read=1,
        joined=sum(exchange.turns for exchange in session) - 1,
        names=frozenset().union(*(exchange.names for exchange in session)),
    )


def _locomo(row: Mapping[str, Any], tally: Tally) -> tuple[list[list[Turn]], list[Question]]:
    told = row.get("conversation")
    if not isinstance(told, Mapping):
        raise RowError("'conversation' is no object with sessions")
    sessions = []
    for key in _session_keys(told):
        items = list_of(told[key], key)
        turns = [turn for turn in items if isinstance(turn, Mapping)]
        tally.dropped["empty"] += len(items) - len(turns)
        roles = roles_for([str(turn.get("speaker", "")) for turn in turns], Layout("messages"))
        date = told.get(f"{key}_date_time")
        session = [
            Turn(roles[str(turn.get("speaker", ""))], _said(turn), name=_name(turn.get("dia_id"))) for turn in turns
        ]
        if session and isinstance(date, str):  # many questions ask when
            session[0] = replace(session[0], text=f"({date}) {session[0].text}")
        sessions.append(session)
    return sessions, [_locomo_question(item) for item in list_of(row.get("qa"), "qa")]


def _session_keys(told: Mapping[str, Any]) -> list[str]:
    """The keys of LoCoMo's sessions in the order of their numbers, which may begin with zeros."""
    numbers = {key: found[1] for key in told if (found := re.fullmatch(r"session_0*(\d+)", str(key)))}
    return sorted(numbers, key=lambda key: (len(numbers[key]), numbers[key]))


def _said(turn: Mapping[str, Any]) -> str:
    text, caption = str(turn.get("text") or ""), turn.get("blip_caption")
    who = turn.get("speaker")
    shown = f" [shows a picture: {caption}]" if caption else ""
    return f"{who}: {text}{shown}" if who and (text or shown) else f"{text}{shown}"


def _name(value: Any) -> str:
    """``D1:3`` as the evidence names it, whatever blanks and zeros stand in it."""
    found = _names(value)
    return next(iter(found), "")


def _names(value: Any) -> frozenset[str]:
    texts: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
    return frozenset(
        f"D{session}:{turn}" for text in texts for session, turn in re.findall(r"D:?0*(\d+):0*(\d+)", str(text))
    )


def _locomo_question(item: Any) -> Question:
    if not isinstance(item, Mapping):
        return Question("", "", frozenset())
    answer, trap = item.get("answer"), item.get("adversarial_answer")
    return Question(
        str(item.get("question") or ""),
        "" if answer is None or trap is not None else str(answer),
        _names(item.get("evidence") or ()),
        () if trap is None else (str(trap),),
        f"category {item['category']}" if item.get("category") is not None else "",
    )


def _longmemeval(row: Mapping[str, Any], tally: Tally) -> tuple[list[list[Turn]], list[Question]]:
    sessions = row.get("haystack_sessions")
    if not isinstance(sessions, list):
        raise RowError("'haystack_sessions' is no list of sessions")
    ids, dates, named = (
        list_of(row.get(name), name) for name in ("haystack_session_ids", "haystack_dates", "answer_session_ids")
    )
    answered = set(map(str, named))
    told, evidence, whole = [], set(), set()
    for number, session in enumerate(sessions):
        turns = []
        for place, turn in enumerate(list_of(session, f"session {number + 1}")):
            if not isinstance(turn, Mapping) or turn.get("role") not in ("user", "assistant", "system"):
                raise RowError(f"session {number + 1}: turn {place + 1} has no role and content")
            name = f"{number}:{place}"
            if turn.get("has_answer"):
                evidence.add(name)
            if number < len(ids) and str(ids[number]) in answered:
                whole.add(name)
            turns.append(Turn(turn["role"], content_of(turn.get("content"), tally.parts)[0], name=name))
        if turns and number < len(dates) and dates[number]:
            turns[0] = replace(turns[0], text=f"({dates[number]}) {turns[0].text}")
        told.append(turns)
    asked = str(row.get("question") or "")
    if row.get("question_date"):
        asked = f"({row['question_date']}) {asked}"
    abstains = str(row.get("question_id", "")).endswith("_abs")
    answer = row.get("answer")
    if answer is None and not abstains:
        raise RowError("the question has no answer")
    kind = str(row.get("question_type") or "")
    return told, [Question(asked, "" if abstains else str(answer), frozenset(evidence or whole), kind=kind)]

"""The parts of a report: what one result (of one stage and one source) says."""

from __future__ import annotations

from html import escape
from typing import Any

from .charts import Line, bars, heat_map, line_chart
from .figures import Figures, Form, Path

_MODES = (("memory on", ""), ("swapped", "_swapped"), ("wiped", "_wiped"), ("frozen", "_frozen"), ("oracle", "_oracle"))
_TILES: tuple[tuple[str, tuple[str, ...], tuple[str, ...] | None, Form], ...] = (
    ("recall, %", ("recall",), ("recall_ci95",), "percent"),
    ("wiped, %", ("recall_wiped",), None, "percent"),
    ("swapped, %", ("recall_swapped",), None, "percent"),
    (
        "memory gain over wiped, bits per answer",
        ("memory_gain", "wiped", "mean"),
        ("memory_gain", "wiped", "ci95"),
        "two",
    ),
    ("score, 0 to 10", ("score_mean",), None, "two"),
    ("perplexity", ("ppl",), None, "two"),
    ("accuracy, %", ("accuracy",), None, "percent"),
    ("half-life, interactions", ("memory", "half_life", "interactions"), ("memory", "half_life", "ci95"), "one"),
)
_STAGES: tuple[tuple[str, tuple[str, ...], Form], ...] = (
    ("recall", ("recall",), "percent"),
    ("95 %", ("recall_ci95",), "percent"),
    ("wiped", ("recall_wiped",), "percent"),
    ("swapped", ("recall_swapped",), "percent"),
    ("told first", ("recall_told_first",), "percent"),
    ("told later", ("recall_told_later",), "percent"),
    ("score", ("score_mean",), "two"),
    ("max", ("score_max",), "two"),
    ("min", ("score_min",), "two"),
    ("PPL", ("ppl",), "two"),
    ("accuracy", ("accuracy",), "percent"),
    ("bits per answer", ("bits_per_answer",), "two"),
)


_STATE: tuple[tuple[str, str, int, Form], ...] = (
    ("length of a slot", "norm", 0, "two"),
    ("effective rank of the slots", "effective_rank", 0, "two"),
    ("change of the memory by a write, % (from the second one on)", "change", 1, "percent"),
    ("openness of the gate, %", "gate", 0, "percent"),
)


def summary(figures: Figures) -> str:
    """Everything that one result says: figures, curves, heat maps, tables.

    Args:
        figures: at a result of one stage and one source.
    """
    asked = (
        f'<p class="quiet">{figures.show("episodes", form="count")} held-out dialogues, '
        f"{figures.show('steps', form='count')} follow-ups each.</p>"
    )
    tiles = []
    for name, path, interval, form in _TILES:
        if figures.value(*path) is None:
            continue
        ends = f"<small>{figures.show(*interval, form=form)}</small>" if interval and figures.value(*interval) else ""
        tiles.append(f'<div class="tile"><small>{name}</small><b>{figures.show(*path, form=form)}</b>{ends}</div>')
    return "\n".join(
        part
        for part in (
            asked, f'<div class="tiles">{"".join(tiles)}</div>', _distance(figures), _distance_by_step(figures),
            _bits(figures), _abilities(figures), _memory(figures), _cost(figures),
        )
        if part
    )  # fmt: skip


def _distance(figures: Figures) -> str:
    lines = []
    for style, (label, mode) in enumerate(_MODES):
        where = f"recall{mode}_by_distance"
        points = [(float(place), (where, place)) for place in _places(figures.value(where))]
        band = [(float(place), (f"{where}_ci95", place)) for place in _places(figures.value(f"{where}_ci95"))]
        lines.append(Line(label, points, band, style))
    chart = line_chart(figures, lines, x="interactions between telling and asking", y="fact recall, %", top=1.0)
    return f"<h3>Recall by distance</h3>{chart}" if chart else ""


def _distance_by_step(figures: Figures) -> str:
    where = "recall_by_distance_and_step"
    found = figures.value(where)
    if not found:
        return ""
    distances = _places(found)
    steps = sorted({step for row in found.values() for step in row}, key=int)
    paths: list[list[Path]] = [[(where, distance, step, "recall") for step in steps] for distance in distances]
    table = heat_map(figures, distances, steps, paths, corner="distance \\ step", top=1.0)
    return f"<h3>Recall by distance and step, %</h3>{table}"


def _bits(figures: Figures) -> str:
    if not figures.value("bits"):
        return ""
    figures = figures.below("bits")
    size = len(figures.value("told_by_asked"))
    paths: list[list[Path]] = [[("told_by_asked", told, asked) for asked in range(size)] for told in range(size)]
    table = heat_map(
        figures, [str(told) for told in range(size)], [str(asked + 1) for asked in range(size)], paths,
        corner="told \\ asked", form="two",
    )  # fmt: skip
    said = (
        "<h3>Bits: what each interaction was worth</h3><p>Mean bits that the reference answer of a step loses when one "
        "interaction is left out of memory. No annotation and no judge is involved.</p>"
    )
    against = ""
    if figures.value("agreement") is not None:
        against = (
            f"<p>The costliest interaction is the one that the annotation names for {figures.show('agreement')} % "
            f"({figures.show('agreement_ci95')}) of {figures.show('questions', form='count')} questions. The told "
            f"interaction is worth {figures.show('told_median', form='two')} bits in the median, the others "
            f"{figures.show('others_median', form='two')} (95th percentile "
            f"{figures.show('others_p95', form='two')}).</p>"
        )
        distances = _places(figures.value("by_distance"))
        line = Line(
            "the interaction that told",
            [(float(place), ("by_distance", place, "mean")) for place in distances],
            [(float(place), ("by_distance", place, "ci95")) for place in distances],
        )
        against += line_chart(figures, [line], x="interactions between telling and asking", y="bits", form="two")
    return said + table + against


def _abilities(figures: Figures) -> str:
    found = figures.value("abilities")
    if not found:
        return ""
    columns = ("recall", "ci95", "wiped", "swapped", "frozen", "oracle")
    shown = [name for name in columns if any(row.get(name) is not None for row in found.values())]
    head = "".join(f'<th scope="col">{name.replace("ci95", "95 %")}</th>' for name in (*shown, "questions"))
    body = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
        + "".join(f"<td>{figures.show('abilities', name, column)}</td>" for column in shown)
        + f"<td>{figures.show('abilities', name, 'questions', form='count')}</td></tr>"
        for name in found
    )
    return (
        f'<h3>Abilities, % right</h3><div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _memory(figures: Figures) -> str:
    if not figures.value("memory"):
        return ""
    parts = ["<h3>What the memory does</h3>", _sentences(figures)]
    figures = figures.below("memory")
    if figures.value("state"):
        state = figures.below("state")
        charts = []
        for title, name, first, form in _STATE:
            points: list[tuple[float, Path]] = [
                (float(n), (name, n)) for n in range(first, len(state.value(name) or ()))
            ]
            line = Line(name.replace("_", " "), points)
            charts.append(line_chart(state, [line], x="write", y=title, form=form, small=True))
        parts.append(f'<div class="charts">{"".join(charts)}</div>')
        usage = state.value("slot_usage")
        if len(usage) <= 32:
            rows: list[tuple[str, Path]] = [(f"slot {n}", ("slot_usage", n)) for n in range(len(usage))]
            parts.append(f"<h3>Share of the writing by slot, %</h3>{bars(state, rows)}")
        parts.append(
            f"<p>{state.show('slots_used', form='one')} of "
            f"{state.show('slots', form='count')} slots take part in the writing.</p>"
        )
    if figures.value("capacity"):
        asked = range(len(figures.value("capacity", "told")))
        lines = [
            Line(f"facts {name}", [(float(n + 1), ("capacity", name, n)) for n in asked], (), style)
            for style, name in ((1, "told"), (0, "kept"))
        ]
        parts.append(line_chart(figures, lines, x="step", y="facts", form="two"))
    return "\n".join(part for part in parts if part)


def _sentences(whole: Figures) -> str:
    said = []
    figures = whole.below("memory")
    half = figures.value("half_life", "interactions")
    if half is not None:
        beyond = ""
        if half > whole.value("steps"):
            steps = whole.show("steps", form="count")
            beyond = f", more than the {steps} that were measured: continued from their decline"
        said.append(
            f"Half of the facts are lost after {figures.show('half_life', 'interactions', form='one')} interactions "
            f"({figures.show('half_life', 'ci95', form='one')}){beyond}."
        )
    if figures.value("interference", "per_interaction", "bits") is not None:
        said.append(
            "Each further interaction between telling and asking costs the answer "
            f"{figures.show('interference', 'per_interaction', 'bits', form='two')} bits "
            f"({figures.show('interference', 'per_interaction', 'ci95', form='two')})."
        )
    if figures.value("interference", "written_between", "bits") is not None:
        said.append(
            "Not to have written one of them would save "
            f"{figures.show('interference', 'written_between', 'bits', form='two')} bits "
            f"({figures.show('interference', 'written_between', 'ci95', form='two')})."
        )
    return f"<p>{' '.join(said)}</p>" if said else ""


def _cost(figures: Figures) -> str:
    turns = figures.value("cost", "turns")
    if not turns:
        return ""
    body = "".join(
        f'<tr><th scope="row">{escape(turn)}</th>'
        f"<td>{figures.show('cost', 'turns', turn, 'milliseconds', form='one')}</td>"
        f"<td>{figures.show('cost', 'turns', turn, 'tokens', form='count')}</td></tr>"
        for turn in turns
    )
    return (
        '<h3>Cost of a turn</h3><div class="scroll"><table><thead><tr><th>turn</th><th>milliseconds</th>'
        f"<th>processed tokens</th></tr></thead><tbody>{body}</tbody></table></div>"
        f"<p>Carried from turn to turn: {figures.show('cost', 'state_mb', form='two')} MB at the end; "
        f"{figures.show('cost', 'peak_mb', form='count')} MB more than before were taken at most.</p>"
    )


def stage_table(figures: Figures, source: str, title: str) -> str:
    """All stages (or models) beside each other, for one source: curves and a table; empty where there is one."""
    stages = figures.value("stages")
    rows = [name for name in stages if source in stages[name]["sources"]]
    if len(rows) < 2:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name, _, _ in _STAGES)
    body = []
    for name in rows:
        at = figures.below("stages", name, "sources", source)
        cells = "".join(f"<td>{at.show(*path, form=form)}</td>" for _, path, form in _STAGES)
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    curves = []
    for style, name in enumerate(rows[-5:]):
        here = ("stages", name, "sources", source, "recall_by_distance")
        points: list[tuple[float, Path]] = [(float(place), (*here, place)) for place in _places(figures.value(*here))]
        curves.append(Line(name, points, (), style))
    chart = line_chart(figures, curves, x="interactions between telling and asking", y="fact recall, %", top=1.0)
    return (
        f'<h3>{title}</h3>{chart}<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _places(found: Any) -> list[str]:
    return sorted(found or (), key=int)

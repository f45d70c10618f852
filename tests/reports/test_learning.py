"""The picture of a run: which panels it has, where stages begin, and that it takes any number of updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from rxt_mrl.evaluation.plots import plot_retention, plot_stages
from rxt_mrl.reports import learning
from rxt_mrl.reports.learning import plot_run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    for module in ("rxt_mrl.reports.learning", "rxt_mrl.evaluation.plots"):
        save = learning.save
        monkeypatch.setattr(f"{module}.save", lambda made, path, save=save: figures.append(made) or save(made, path))
    return figures


def mrl(updates: int, stage: int = 1, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"section": "mrl", "step": start + n, "stage": stage, "reward_mean": 0.5, "recall": 0.4, "entropy": 0.1,
         "approx_kl_last": 1e-11, "time": 0.0} for n in range(1, updates + 1)
    ]  # fmt: skip


def labels(figure: Figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes if axes.axison]


@pytest.mark.parametrize("updates", [1, 17, 1000])
def test_panels_of_a_run(updates: int, drawn: list[Figure], tmp_path: Path) -> None:
    look = {"section": "mrl", "step": 1, "validation_reward": 0.6, "validation_recall": 0.7, "time": 0.0}
    taught = [{"section": "joint", "step": n, "loss": 2.0, "accuracy": 0.1, "time": 0.0} for n in (1, 2)]
    path = plot_run([*taught, *mrl(updates), look, *mrl(5, 2, updates)], tmp_path / "learning.png", "demo, seed 0")
    assert path is not None
    assert path.read_bytes()[:4] == b"\x89PNG"
    panels = ["loss, nats per token", "accuracy, %", "reward", "fact recall, %", "entropy, nats per token"]
    assert labels(drawn[0]) == [*panels, "KL, nats per token"]
    reward = drawn[0].axes[2]
    assert [text.get_text() for text in reward.texts] == ["stage 1", "stage 2"]
    legend = reward.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["sampled answers", "validation, greedy"]


def test_a_run_without_mrl_and_one_without_anything(drawn: list[Figure], tmp_path: Path) -> None:
    attention = [{"section": "memory_attention", "step": 1, "loss": -0.5, "cosine": 0.5, "time": 0.0}]
    assert plot_run(attention, tmp_path / "a.png", "demo") is None
    taught = [{"section": "joint", "step": 1, "mlm_loss": 2.0, "mlm_accuracy": 0.1, "time": 0.0}]
    assert plot_run(taught, tmp_path / "b.png", "demo") is not None
    assert labels(drawn[0]) == ["loss, nats per token", "accuracy, %"]


def result(steps: int, recall: float = 0.5) -> dict[str, Any]:
    by = {str(distance): recall for distance in range(1, steps + 1)}
    return {
        "episodes": 30, "steps": steps, "recall": recall, "recall_wiped": 0.05, "recall_swapped": 0.06,
        "recall_by_distance": by, "recall_by_distance_ci95": dict.fromkeys(by, (recall - 0.1, recall + 0.1)),
        "recall_wiped_by_distance": dict.fromkeys(by, 0.05), "recall_swapped_by_distance": dict.fromkeys(by, 0.06),
    }  # fmt: skip


@pytest.mark.parametrize("steps", [1, 17, 1000])
def test_retention_says_what_it_shows(steps: int, drawn: list[Figure], tmp_path: Path) -> None:
    plot_retention(result(steps), tmp_path / "retention.png", "Retention curve: demo, seed 3, after mrl")
    (axes,) = drawn[0].axes
    assert "demo, seed 3, after mrl" in axes.get_title(loc="left")
    legend = axes.get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["memory on", "95 % interval of memory on", "memory swapped", "memory wiped"]
    assert axes.get_xlim()[0] < 1
    assert axes.get_xlim()[1] > steps


def test_stages_differ_in_color_marker_and_dashes(drawn: list[Figure], tmp_path: Path) -> None:
    names = ("joint", "interaction", "memory_attention", "memory_aware", "mrl")
    plot_stages({name: result(8) for name in names}, tmp_path / "stages.png", "Recall after each stage: demo, seed 0")
    lines = list(drawn[0].axes[0].lines)
    said = [line.get_label() for line in lines]
    assert said[:2] == ["mrl: 50.0 %", "memory aware: 50.0 %"]
    assert said[-2:] == ["swapped after mrl: 6.0 %", "wiped after mrl: 5.0 %"]
    for look in ("get_color", "get_marker"):
        assert len({getattr(line, look)() for line in lines}) == len(lines)
    places = {line.get_xdata()[0] for line in lines[: len(names)]}
    assert len(places) == len(names)  # equal lines do not hide each other
    plot_stages({f"stage {number}": result(8) for number in range(20)}, tmp_path / "stages.png")
    furthest = max(line.get_xdata()[0] for line in drawn[1].axes[0].lines)
    assert furthest < 1.5, "nearer to its own distance than to the next"

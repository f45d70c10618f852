"""The published reward agrees with the numbers that the published library gave."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from rxt_mrl.rewards.published import Published
from rxt_mrl.rewards.published_score import PublishedConfig, Tokens, fold_mean, published_score, scale
from safetensors.torch import load_file

from rxt_mrl.contracts import Mode, RewardContext, Strategy, TokenText

FOLDER = Path(os.environ.get("RXT_MRL_REFERENCE", Path(__file__).parents[2] / ".." / "shared" / "reference")) / "RL"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "outputs.safetensors").is_file(), reason=f"no reference numbers at {FOLDER} (RXT_MRL_REFERENCE)"
)
CALLS = ("step1_standard", "step2_standard_prev", "step3_standard_prev2", "step4_longrange_prev", "negative")
MODES: dict[str, Mode] = {"step4_longrange_prev": "return", "negative": "topic_switch"}


def _settings() -> dict[str, dict[str, Any]]:
    return json.loads((FOLDER / "config.json").read_text())["reward_configs"] if FOLDER.is_dir() else {}


def _load(name: str) -> dict[str, torch.Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


def _pair(inputs: dict[str, torch.Tensor], name: str) -> Tokens:
    return Tokens(inputs[f"{name}_ids"], inputs[f"{name}_mask"].bool())


def _concat(left: Tokens, right: Tokens) -> Tokens:
    width = left.ids.shape[1]
    ids = torch.zeros_like(left.ids)
    mask = torch.zeros_like(left.mask)
    for row in range(len(ids)):
        joined = torch.cat([left.ids[row][left.mask[row]], right.ids[row][right.mask[row]]])[:width]
        ids[row, : len(joined)] = joined
        mask[row, : len(joined)] = True
    return Tokens(ids, mask)


def _turns(inputs: dict[str, torch.Tensor]) -> tuple[Tokens, list[Tokens]]:
    """The saved interaction and, for each call, what came before it."""
    asked = _pair(inputs, "next_query")
    second, third = _concat(asked, _pair(inputs, "reference")), _concat(asked, _pair(inputs, "answer"))
    return _concat(_pair(inputs, "query"), _pair(inputs, "answer")), [second, third, second]


@pytest.mark.parametrize("name", list(_settings()))
def test_the_formula_agrees_on_all_five_calls(name: str) -> None:
    inputs, outputs = _load("inputs"), _load("outputs")
    config = PublishedConfig(**_settings()[name])
    saved, previous = _turns(inputs)
    generated, reference = _pair(inputs, "action"), _pair(inputs, "reference")
    mean: torch.Tensor | None = None
    for index, call in enumerate(CALLS):
        first = call in ("step1_standard", "negative")
        if not first:
            mean = fold_mean(config, previous[index - 1], inputs["embedding"], mean)
        score = published_score(
            config, generated, reference, saved, inputs["embedding"],
            mode=MODES.get(call, "standard"), first=first, running_mean=mean,
        )  # fmt: skip
        expected = outputs[f"reward_{name}_{call}"]
        torch.testing.assert_close(
            scale(config, score), expected, atol=1e-4, rtol=1e-4, msg=lambda m, c=call: f"{c}: {m}"
        )


@pytest.mark.parametrize("name", list(_settings()))
def test_the_reward_of_a_context_agrees_too(name: str) -> None:
    """The plug-in gets our template, without [A] in the answers, and finds saved and previous data in the history."""
    inputs, outputs = _load("inputs"), _load("outputs")
    options = _settings()[name]
    reward = Published(**options)
    saved, (second, third, _) = _turns(inputs)

    def text(tokens: Tokens, *, answer: bool = False) -> TokenText:
        drop = 1 if answer else 0
        return TokenText(tokens.ids[:, drop:], tokens.mask[:, drop:], range(7), str)

    def score(history: list[Tokens], mode: Mode = "standard", strategy: Strategy = "multi_step") -> torch.Tensor:
        context = RewardContext(
            query=text(_pair(inputs, "next_query")),
            generated=text(_pair(inputs, "action"), answer=True),
            reference=text(_pair(inputs, "reference"), answer=True),
            history=tuple(text(turn) for turn in history),
            mode=mode,
            strategy=strategy,
            embedding=inputs["embedding"],
        )
        values, applies = reward(context)
        assert applies.all()
        assert ((values >= 0) & (values <= 1)).all()
        return scale(reward.config, values * reward.config.largest)

    def close(actual: torch.Tensor, call: str) -> None:
        torch.testing.assert_close(actual, outputs[f"reward_{name}_{call}"], atol=1e-4, rtol=1e-4)

    close(score([saved]), "step1_standard")
    close(score([second, saved]), "step2_standard_prev")
    close(score([second, third, saved]), "step3_standard_prev2")
    close(score([saved, second, third, second, saved], "return", "long_range"), "step4_longrange_prev")
    close(score([saved], "topic_switch", "long_range"), "negative")
    close(score([second, saved], "topic_switch", "long_range"), "negative")

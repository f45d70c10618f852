"""Gymnasium's own wrappers around ours: what they expect of ``info``, and rendering a vector."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics
from gymnasium.wrappers.vector import DictInfoToList
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorStatistics
from rxt_mrl.envs import IDS

from rxt_mrl.errors import UserError

VECTORS = [name for name in IDS if "Text" not in name]


def finish(env: Any) -> tuple[Any, Any]:
    """Play until an episode ends: the last reward and info."""
    env.reset(seed=0)
    env.action_space.seed(0)
    while True:
        _, rewards, terminated, _, info = env.step(env.action_space.sample())
        if terminated if isinstance(terminated, bool) else terminated.any():
            return rewards, info


@pytest.mark.parametrize("name", IDS)
def test_episode_statistics_of_one(name: str) -> None:
    env = RecordEpisodeStatistics(gym.make(f"rxt_mrl.envs:{name}"))
    _, info = finish(env)
    assert info["episode"]["l"] > 1
    assert isinstance(info["dialogue"], int)


@pytest.mark.parametrize("name", VECTORS)
def test_statistics_and_infos_of_a_vector(name: str) -> None:
    env = DictInfoToList(RecordVectorStatistics(gym.make_vec(f"rxt_mrl.envs:{name}", num_envs=3)))
    _, infos = env.reset(seed=0)
    assert len(infos) == 3
    _, infos = finish(env)
    assert [info["episode"]["l"] for info in infos] == [infos[0]["episode"]["l"]] * 3
    for row, info in enumerate(infos):
        ended = info["final_info"]
        assert set(ended["generated"]) == {"ids", "mask"}
        assert ended["mode"] in ("standard", "topic_switch", "return")
        assert set(ended["terms"]) == {"FactRecall"} or ended["terms"], row


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_renders_each_row(name: str) -> None:
    env = gym.make_vec(f"rxt_mrl.envs:{name}", num_envs=2, render_mode="ansi")
    env.reset(seed=0)
    rendered = env.render()
    assert rendered is not None
    assert len(rendered) == 2
    assert all(text.startswith("> ") for text in rendered)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"render_mode: 'human' is not one of ansi"):
        gym.make_vec(f"rxt_mrl.envs:{name}", num_envs=2, render_mode="human")


def test_texts_in_info_travel() -> None:
    env = gym.make_vec(f"rxt_mrl.envs:{VECTORS[0]}", num_envs=2)
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[-1]
    copied = pickle.loads(pickle.dumps(info["reference"]))
    assert copied.text == info["reference"].text
    assert (copied["ids"] == info["reference"].ids.numpy()).all()

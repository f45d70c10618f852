"""What every registered environment must do, whatever its task."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv
from rxt_mrl.envs import IDS
from rxt_mrl.envs.policies import OraclePolicy, RandomPolicy, play_episode

from rxt_mrl import plugins

VECTOR_IDS = [name for name in IDS if gym.spec(name).vector_entry_point]
ROWS = 6


def make_vec(name: str, rows: int = ROWS, **options: Any) -> Any:
    return gym.make_vec(name, num_envs=rows, **options)


def row_of(value: Any, rows: Any) -> Any:
    """Some rows of nested arrays; other values are left out."""
    if isinstance(value, dict):
        return {key: row_of(item, rows) for key, item in value.items() if isinstance(item, (dict, np.ndarray))}
    return value[rows]


def transitions(env: Any, seeds: list[int], **reset: Any) -> list[Any]:
    """One episode of a random policy: everything that the environment returned."""
    policy = RandomPolicy(env.unwrapped.tokenizer, 1)
    observation, info = env.reset(**reset)
    state = policy.reset(env.num_envs, seeds=seeds)
    seen: list[Any] = [(observation, info)]
    for _ in range(env.unwrapped.steps):
        output = policy.act(observation, state)
        seen.append(env.step(output.actions))
        observation, state = seen[-1][0], output.state
    return seen


@pytest.mark.parametrize("name", IDS)
def test_check_env_without_warnings(name: str) -> None:
    env = gym.make(f"rxt_mrl.envs:{name}")
    view = isinstance(env.unwrapped, gym.Env) and env.has_wrapper_attr("encode")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if view:  # a view is a wrapper, which the checker mentions
            warnings.filterwarnings("ignore", message=".*is different from the unwrapped version.*")
        check_env(env if view else env.unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_two_environments_with_the_same_seed_agree(name: str) -> None:
    first, second = gym.make(name), gym.make(name)
    for seed in (3, None):
        started = first.reset(seed=seed)
        assert data_equivalence(started, second.reset(seed=seed), exact=True)
    first.action_space.seed(0)
    for _ in range(2):
        action = first.action_space.sample()
        assert data_equivalence(first.step(action), second.step(action), exact=True)


@pytest.mark.parametrize("name", VECTOR_IDS)
@pytest.mark.parametrize("autoreset", ["same_step", "disabled"])
def test_spaces_hold_what_goes_in_and_out(name: str, autoreset: str) -> None:
    env = make_vec(name, autoreset=autoreset)
    assert env.metadata["autoreset_mode"] == AutoresetMode[autoreset.upper()]
    observation, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(env.steps):
        assert observation in env.observation_space
        action = env.action_space.sample()
        assert action in env.action_space
        observation, rewards, terminated, truncated, _ = env.step(action)
        assert rewards.shape == terminated.shape == truncated.shape == (ROWS,)
        assert ((rewards >= 0) & (rewards <= 1)).all()
    assert observation in env.observation_space
    single = gym.vector.utils.batch_space(env.single_observation_space, ROWS)
    assert observation in single
    assert env.observation_space.sample() in single


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_terminates_only_at_the_end_and_never_truncates(name: str) -> None:
    env = make_vec(name, autoreset="disabled")
    *steps, last = transitions(env, list(range(ROWS)), seed=1)[1:]
    assert not any(step[2].any() for step in steps)
    assert last[2].all()
    assert not any(step[3].any() for step in (*steps, last))
    with pytest.raises(ValueError, match="ended; reset it"):
        env.step(env.action_space.sample())


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_autoreset_starts_the_next_episode_in_the_same_step(name: str) -> None:
    auto, manual = make_vec(name), make_vec(name, autoreset="disabled")
    auto_last = transitions(auto, [0] * ROWS, seed=2)[-1]
    manual_last = transitions(manual, [0] * ROWS, seed=2)[-1]
    observation, _, _, _, info = auto_last
    assert data_equivalence(info["final_obs"], manual_last[0], exact=True)
    assert info["_final_obs"].all()
    assert data_equivalence(row_of(info["final_info"], slice(None)), row_of(manual_last[4], slice(None)), exact=True)
    assert np.array_equal(auto_last[1], manual_last[1])
    assert data_equivalence(observation, manual.reset()[0], exact=True)
    assert not data_equivalence(observation, info["final_obs"])
    assert not auto.step(auto.action_space.sample())[2].any()


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_permuted_rows_give_permuted_results(name: str) -> None:
    env = make_vec(name)
    episodes, order = np.array([5, 3, 3, 8, 0, 1]), np.array([4, 2, 0, 5, 1, 3])
    plain = transitions(env, list(range(ROWS)), options={"episodes": episodes})
    moved = transitions(env, order.tolist(), options={"episodes": episodes[order]})
    for before, after in zip(plain[:-1], moved[:-1], strict=True):
        for left, right in zip(before, after, strict=True):
            assert data_equivalence(row_of(left, order), row_of(right, slice(None)), exact=True)


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_an_episode_alone_equals_the_same_in_a_batch(name: str) -> None:
    batch = transitions(make_vec(name), list(range(ROWS)), options={"episodes": np.arange(ROWS)})
    alone = transitions(make_vec(name, 1), [4], options={"episodes": np.array([4])})
    for left, right in zip(batch[:-1], alone[:-1], strict=True):
        for some, one in zip(left, right, strict=True):
            assert data_equivalence(row_of(some, [4]), row_of(one, [0]), exact=True)


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_nothing_is_left_of_the_episode_before(name: str) -> None:
    env = make_vec(name)
    options = {"episodes": np.arange(ROWS)}
    first = transitions(env, [1] * ROWS, options=options)
    transitions(env, [2] * ROWS, seed=9)
    again = transitions(env, [1] * ROWS, options=options)
    for left, right in zip(first[:-1], again[:-1], strict=True):
        for some, other in zip(left, right, strict=True):
            assert data_equivalence(row_of(some, slice(None)), row_of(other, slice(None)), exact=True)


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_what_was_returned_does_not_change_later(name: str) -> None:
    env = make_vec(name, autoreset="disabled")
    seen = transitions(env, [0] * ROWS, seed=0)
    kept = [{name: array.copy() for name, array in step[0]["interaction"].items()} for step in seen]
    for step in seen:
        for array in (*step[0]["interaction"].values(), *step[0]["query"].values()):
            array[...] = 0  # a careless user
    assert env.transcript(0)[0][0] != ""
    again = transitions(env, [0] * ROWS, seed=0)
    assert all(np.array_equal(a["ids"], b[0]["interaction"]["ids"]) for a, b in zip(kept, again, strict=True))


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_the_oracle_solves_it(name: str) -> None:
    env = make_vec(name, 32)
    played = play_episode(env, OraclePolicy(env.dialogues), seed=0)
    assert played.valid.all()
    assert (played.rewards == 1).all()


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_single_and_vector_environment_agree(name: str) -> None:
    vector, single = make_vec(name, 1), gym.make(name)
    observation, _ = vector.reset(options={"episodes": np.array([2])})
    alone, info = single.reset(seed=0, options={"episode": 2})
    assert info["dialogue"] == 2
    vector.action_space.seed(1)
    assert data_equivalence(row_of(observation, 0), alone, exact=True)
    action = vector.action_space.sample()
    observation, rewards, *_, batched = vector.step(action)
    alone, reward, terminated, _, info = single.step(row_of(action, 0))
    assert data_equivalence(row_of(observation, 0), alone, exact=True)
    assert (reward, terminated, info["step"]) == (rewards[0], False, 1)
    assert info["text"]["reference"] == batched["reference"].text[0]


@pytest.mark.parametrize("name", VECTOR_IDS)
def test_gymnasium_can_batch_the_single_environment(name: str) -> None:
    env = gym.make_vec(name, num_envs=2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": "SameStep"})
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    env.action_space.seed(0)
    env.step(env.action_space.sample())


def test_plugins_name_the_environments() -> None:
    assert {"memory_retention", "repeat_previous"} <= set(plugins.names("env"))
    for name in ("memory_retention", "repeat_previous"):
        assert issubclass(plugins.find("env", name), VectorEnv)

"""The rules of the environment contract, each with what is allowed and a test that says what was found instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

import numpy as np

from ..contracts import Mode, Observation, ScoreInfo, ScoresCandidates, StepInfo, TokenArray
from .environment_bench import LIMIT, ROWS, TOLERANCE, Bench, Played, difference, mixed, plain, unlike

TOKENS = f"int64 ids and int8 masks ({ROWS}, tokens) here"


class Rule(NamedTuple):
    """A rule. ``broken`` gives what was found where it is broken, else None."""

    name: str
    allowed: str
    broken: Callable[..., str | None]


# --- the shape of things: rules of an environment, and of one playthrough of it --------------------------------------


def _members(env: Any) -> str | None:
    for name in ("num_envs", "observation_space", "action_space", "reset", "step"):
        if not hasattr(env, name):
            return f"{type(env).__name__} has no {name}"
    return None if env.num_envs == ROWS else f"num_envs is {env.num_envs}, made with {ROWS}"


def _spaces(env: Any) -> str | None:
    parts = {f"observation_space[{name!r}]": (env.observation_space, name) for name in Observation.__required_keys__}
    for label, path in {"action_space": (env.action_space,), **parts}.items():
        space: Any = path[0]
        try:
            token_spaces = space[path[1]] if len(path) > 1 else space
            shapes = token_spaces["ids"].shape, token_spaces["mask"].shape
        except (KeyError, TypeError):
            return f"{label} in {space}"
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][0] != ROWS:
            return f"{label}: ids {shapes[0]} and mask {shapes[1]}"
    return None


def _dialogues(env: Any) -> str | None:
    dialogues = getattr(env, "dialogues", None)
    if dialogues is None:
        return f"{type(env).__name__} has no dialogues"
    told = dialogues.select([0]).interactions()
    shape = tuple(told.ids.shape)
    same = len(shape) == 3 and shape[0] == 1 and tuple(told.mask.shape) == shape
    return None if len(dialogues) and same else f"{len(dialogues)} dialogues, interactions() of one is {shape}"


def _observation(env: Any, played: list[Played]) -> str | None:
    for step, (observation, *_) in enumerate(played):
        if not isinstance(observation, dict) or set(observation) != Observation.__required_keys__:
            return (
                f"step {step}: {sorted(observation) if isinstance(observation, dict) else type(observation).__name__}"
            )
        for name, tokens in observation.items():
            for part, dtype in (("ids", np.int64), ("mask", np.int8)):
                array, shape = tokens[part], env.observation_space[name][part].shape
                if array.dtype != dtype or array.shape != shape:
                    return f"step {step}: {name} {part} is {array.dtype} {array.shape}, the space has {shape}"
            if (tokens["mask"][:, 1:] > tokens["mask"][:, :-1]).any():
                return f"step {step}: the mask of {name} has a token behind padding"
        if observation not in env.observation_space:
            return f"step {step}: a value outside of observation_space"
    return None


def _info(env: Any, played: list[Played]) -> str | None:
    for step, (*_, info) in enumerate(played[1:], start=1):
        found = _score_info(info, ROWS)
        for name in StepInfo.__required_keys__ - info.keys():
            found = f"no key {name!r}"
        if found is None:
            modes = info["mode"].tolist() if info["mode"].shape == (ROWS,) else [info["mode"].shape]
            if len(set(modes)) > 1 or modes[0] not in get_args(Mode):
                found = f"mode is {modes}"
            elif "asks" in info and len(info["asks"]) != ROWS:
                found = f"asks has {len(info['asks'])} entries"
            elif "reference" in info and (
                not isinstance(info["reference"], dict) or len(info["reference"]["ids"]) != ROWS
            ):
                found = "reference is not a TokenText with a text per row"
        if found is not None:
            return f"step {step}: {found}"
    return None


def _score_info(info: Mapping[str, Any], count: int) -> str | None:
    for name in sorted(ScoreInfo.__required_keys__):
        if name not in info:
            return f"no key {name!r}"
    valid = info["valid"]
    if valid.dtype != np.bool_ or valid.shape != (count,):
        return f"valid is {valid.dtype} {valid.shape}"
    for kind in ("terms", "metrics"):
        if not isinstance(info[kind], dict):
            return f"{kind} is a {type(info[kind]).__name__}"
        for name, values in info[kind].items():
            if values.dtype.kind != "f" or values.shape != (count,):
                return f"{kind}[{name!r}] is {values.dtype} {values.shape}"
    return None


def _reward(env: Any, played: list[Played]) -> str | None:
    for step, (_, rewards, *_, info) in enumerate(played[1:], start=1):
        if rewards.dtype.kind != "f" or rewards.shape != (ROWS,):
            return f"step {step}: {rewards.dtype} {rewards.shape}"
        wrong = info["valid"] & ~((rewards >= 0) & (rewards <= 1))
        if wrong.any():
            return f"step {step}, row {int(wrong.argmax())}: {rewards[wrong][0]:g} where valid is True"
    return None


def _lock_step(env: Any, played: list[Played]) -> str | None:
    ended = played[-1].ended
    if ended.shape != (ROWS,):
        return f"terminated and truncated are {played[-1].terminated.shape} and {played[-1].truncated.shape}"
    if ended.any() and not ended.all():
        return f"rows {np.flatnonzero(ended).tolist()} ended at step {len(played) - 1}, the others did not"
    return None


def _termination(env: Any, played: list[Played], steps: int | None) -> str | None:
    length = len(played) - 1
    if not played[-1].ended.any():
        return f"no row ended in {LIMIT} steps"
    return None if steps in (None, length) else f"ended at step {length} of {steps}"


def _truncation(env: Any, played: list[Played]) -> str | None:
    truncated = np.asarray(played[-1].truncated)
    return f"truncated at step {len(played) - 1}: {truncated.tolist()}" if truncated.any() else None


# --- behavior: rules of what several playthroughs have in common -----------------------------------------------------


def _actions(bench: Bench) -> str | None:
    env: Any = bench.make()
    env.action_space.seed(0)
    nothing: TokenArray = {"ids": np.zeros((ROWS, 1), dtype=np.int64), "mask": np.zeros((ROWS, 1), dtype=np.int8)}
    for kind, answer in (("a sample of action_space", env.action_space.sample), ("empty answers", lambda: nothing)):
        try:
            bench.play(env, [answer() for _ in range(bench.length)], episodes=bench.episodes)
        except (Exception, SystemExit) as error:  # whatever a user's environment raises is what was found
            return f"{kind}: {in_words(error)}"
    return None


def _seed(bench: Bench) -> str | None:
    env = bench.make()
    script = bench.script(env)
    first = bench.play(env, script, seed=7)
    for where, other in (("again", env), ("in a new environment", bench.make())):
        found = difference(first, bench.play(other, script, seed=7))
        if found:
            return f"reset(seed=7) {where}: {found}"
    return None


def _episodes(bench: Bench) -> str | None:
    env, order = bench.make(), np.arange(ROWS)[::-1]
    script = bench.script(env)
    moved: list[TokenArray] = [{"ids": part["ids"][order], "mask": part["mask"][order]} for part in script]
    first = bench.play(env, script, episodes=bench.episodes)
    second = bench.play(env, moved, episodes=bench.episodes[order])
    found = difference(first, second, np.arange(ROWS), order)
    return f"episodes {bench.episodes.tolist()} in other rows: {found}" if found else None


def _rows(bench: Bench) -> str | None:
    env, one = bench.make(), np.arange(ROWS) == 1
    script, other = bench.script(env), bench.script(env, 1)
    episodes = np.where(one, bench.episodes[0], bench.episodes)
    first = bench.play(env, script, episodes=bench.episodes)
    changed = [mixed(one, new, old) for new, old in zip(other, script, strict=True)]
    found = difference(first, bench.play(env, changed, episodes=episodes), np.flatnonzero(~one))
    return f"row 1 was played another way, and of the other rows {found}" if found else None


def _score(bench: Bench) -> str | None:
    if not isinstance(bench.make(), ScoresCandidates):
        return None
    env: Any = bench.make()
    script, kinds = bench.script(env), 3
    rows = np.random.Generator(np.random.Philox(key=1)).permutation(np.arange(ROWS).repeat(kinds))
    place = np.array([(rows[:index] == row).sum() for index, row in enumerate(rows)])
    scripts = [bench.script(env, number) for number in range(kinds)]
    scored: list[tuple[np.ndarray, dict[str, Any]]] = []

    def score(step: int) -> None:
        ids, mask = (_stacked([part[step] for part in scripts], name)[place, rows] for name in ("ids", "mask"))
        rewards, info = env.score({"ids": ids, "mask": mask}, rows.copy())
        scored.append(
            (plain(rewards), {name: plain(info[name]) for name in ScoreInfo.__required_keys__ if name in info})
        )

    plainly = bench.play(bench.make(), script, episodes=bench.episodes)
    try:
        moved = difference(plainly, bench.play(env, script, episodes=bench.episodes, before=score))
    except (Exception, SystemExit) as error:  # whatever a user's environment raises
        moved = f"an episode {in_words(error)}"
    if moved:
        return f"with score before each step, {moved}"
    for step, (rewards, info) in enumerate(scored):
        found = _score_info(info, len(rows))
        if found is not None or rewards.shape != rows.shape or rewards.dtype != np.float32:
            return f"score: {found or f'rewards are {rewards.dtype} {rewards.shape}'}"
        for number, other in enumerate(scripts):
            stepped = bench.play(env, [*script[:step], other[step]], episodes=bench.episodes)[-1]
            mine = np.flatnonzero(place == number)
            earned = np.where(info["valid"], rewards, 0.0)[mine]
            apart = np.abs(earned - stepped.known()[rows[mine]])
            if apart.max() > TOLERANCE:
                row = int(rows[mine[apart.argmax()]])
                paid = stepped.known()[row]
                return f"step {step + 1}, row {row}: score gives {earned[apart.argmax()]:g}, step gives {paid:g}"
            step_info = {name: stepped.info[name] for name in info}
            path = unlike(info, step_info, mine, rows[mine])
            if path is not None:
                return f"step {step + 1}: info{path} differs from that of step"
    return None


def _stacked(parts: list[TokenArray], name: str) -> np.ndarray:
    arrays: list[np.ndarray] = [part[name] for part in parts]  # type: ignore[literal-required]
    width = max(array.shape[1] for array in arrays)
    return np.stack([np.pad(array, ((0, 0), (0, width - array.shape[1]))) for array in arrays])


def in_words(error: BaseException) -> str:
    """What was raised, as one line."""
    return f"raised {type(error).__name__}: {error}".replace("\n", " ")


MEMBERS = (
    Rule("members", "num_envs as asked for, observation_space, action_space, reset, step", _members),
    Rule(
        "spaces",
        f"observation_space of interaction and query, each like action_space of ids and mask ({ROWS}, tokens)",
        _spaces,
    ),
    Rule("dialogues", "an attribute dialogues with len, select(rows) and interactions()", _dialogues),
)
PLAY = Rule("play", "reset(options={'episodes': ...}) and step run", lambda env: None)
SHAPES = (
    Rule("observation", f"interaction and query as observation_space says, {TOKENS}, 1s before 0s", _observation),
    Rule("lock step", "all rows end in the same step", _lock_step),
    Rule("termination", "after as many steps as it was made with, never before", _termination),
    Rule("truncation", "never", _truncation),
    Rule("info", f"keys {', '.join(sorted(StepInfo.__required_keys__))}; arrays (num_envs,), see StepInfo", _info),
    Rule("reward", f"floats ({ROWS},) here, in [0, 1] where valid", _reward),
)
BEHAVIOR = (
    Rule("actions", "every sample of action_space, and empty answers", _actions),
    Rule("seed", "the seed of reset and the answers determine everything", _seed),
    Rule("episodes", "the episodes of reset determine what is played, in whichever row", _episodes),
    Rule("rows", "a row depends on its own episode and answers alone", _rows),
    Rule("score", "where there is one: what step would give, float32, and nothing changes", _score),
)
RULES = (*MEMBERS, PLAY, *SHAPES, *BEHAVIOR)

"""Memory retention as a Gymnasium vector environment: one episode is one dialogue, one step is one answer.

The agent sees a completed interaction, which it has to write to its memory, and the next query, which it has to
answer from that memory. It never sees an earlier interaction again. Everything is token ids; text is a view
(:mod:`rxt_mrl.envs.text`). A native batch: no step loops over the rows.

A custom environment is a subclass that overrides one of the hooks :meth:`~MemoryRetentionVectorEnv.mode`,
:meth:`~MemoryRetentionVectorEnv.complete`, :meth:`~MemoryRetentionVectorEnv.context`,
:meth:`~MemoryRetentionVectorEnv.observe` and :meth:`~MemoryRetentionVectorEnv.pick` (``docs/environments.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from rxt_mrl.contracts import Columns, Mode, Observation, RewardContext, Strategy, TokenArray, TokenText, mode_of
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import RewardLike, RewardResult, WeightedReward, build_reward

from .actions import accept, choose
from .arguments import at_least_one, autoreset_mode, check_data, check_options, frozen, seed_of
from .episodes import EpisodeBatch, Shuffler, check_dialogues
from .info import TextInfo
from .spaces import observation_space, token_space


class MemoryRetentionVectorEnv(VectorEnv):
    """Tell, go on, ask back: the dialogues of a data set, answered by the agent from its memory.

    ``reset`` gives the first interaction and the query of turn 1. Step ``t`` takes the answer of turn ``t``, scores
    it, and gives the interaction of turn ``t`` (as it goes to memory) with the query of turn ``t + 1``. After
    ``steps`` steps the episode is ``terminated``, never earlier; the query of the final observation is empty.

    Every ``info`` has ``episodes`` (which dialogues, ``(num_envs,)``), ``step`` (``(num_envs,)``, 0 at reset) and
    ``written``: the observation's interaction with an ``answer_mask`` that marks its answer tokens. After a step
    there are also, about that step:

    - ``mode`` ``(num_envs,)``: what was asked for; ``asks`` ``(num_envs,)``: tuples of
      :class:`~rxt_mrl.contracts.Ask`; ``distance`` ``(num_envs,)``: how many interactions ago the fact was told (-1
      where no fact or several are asked); ``columns`` ``(num_envs,)``: mappings of the data's other columns;
    - ``answer``: the accepted action; ``query``, ``generated``, ``reference``: ``ids`` and ``mask``, with the text as
      ``.text`` (decoded when used);
    - ``terms``, ``metrics``: ``{name: (num_envs,) float32}``, NaN where a term does not apply; ``valid``
      ``(num_envs,)``: False where no term applies, or one failed and ``on_error`` is ``skip`` - the reward is then
      unknown: the 0 in its place must be masked.

    ``SAME_STEP`` resets finished rows within the step that ended them: the observation, ``episodes`` and ``written``
    are those of the new episode, and ``final_obs``, ``final_info`` (batched like their originals, valid for the rows
    of ``_final_obs``, ``_final_info``) those of the end. ``DISABLED`` leaves resetting to the caller, of all rows or
    with ``options={"reset_mask": ...}``.

    With ``defer`` set, slow rewards (``rxt_mrl.scoring``) are begun and not waited for: rewards, terms, metrics and
    ``valid`` of that ``info`` are filled in by calling its ``finish``.

    Args:
        dialogues: the encoded data set.
        tokenizer: the tokenizer that encoded it.
        num_envs: episodes that run side by side.
        steps: follow-ups of an episode; None: as many as the dialogues have.
        reward: a :class:`~rxt_mrl.scoring.WeightedReward`, a reward spec (also as a mapping), a reward's name, or a
            reward itself; None: nothing is scored, rewards are 0.
        strategy: None: as the dialogues say.
        teacher_forcing: write the reference answer to memory in place of what the agent said.
        embedding: token embedding ``(vocab, dim)`` for rewards that need one; copied, so it is frozen.
        max_new_tokens: most tokens of an answer, [EOS] included; None: as wide as the reference answers.
        seed: of the first ``reset``, where that gets none.
        autoreset: ``same_step`` or ``disabled``.
        render_mode: ``ansi``: ``render()`` returns the dialogues so far as text, one for each row.

    Raises:
        UserError: for dialogues that are too short, and for values outside of what is said here.
    """

    metadata = {"render_modes": ["ansi"], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's name

    def __init__(
        self,
        dialogues: DialogueTensors,
        tokenizer: DialogueTokenizer,
        *,
        num_envs: int = 1,
        steps: int | None = None,
        reward: RewardLike = None,
        strategy: Strategy | None = None,
        teacher_forcing: bool = False,
        embedding: torch.Tensor | None = None,
        max_new_tokens: int | None = None,
        seed: int | None = None,
        autoreset: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
    ) -> None:
        check_data(dialogues, tokenizer)
        self.dialogues, self.tokenizer = dialogues.to("cpu"), tokenizer
        self.num_envs = at_least_one("num_envs", num_envs)
        self.steps = at_least_one("steps", dialogues.steps if steps is None else steps)
        self.strategy: Strategy = dialogues.strategy if strategy is None else strategy
        self.teacher_forcing, self.forced = teacher_forcing, np.full(self.num_envs, teacher_forcing)
        self.max_new_tokens = at_least_one(
            "max_new_tokens", dialogues.answer.ids.shape[-1] if max_new_tokens is None else max_new_tokens
        )
        check_dialogues(dialogues, self.steps, self.strategy)
        self.reward = build_reward(reward)
        self.defer = False
        self.embedding = frozen(embedding, tokenizer.vocab_size)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UserError(f"render_mode: {render_mode!r} is not one of {', '.join(self.metadata['render_modes'])}")
        self.render_mode = render_mode
        self.autoreset_mode = autoreset_mode(autoreset)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}

        self.vocab_size = tokenizer.vocab_size
        query_width = dialogues.query.ids.shape[-1]
        self.interaction_width = query_width + max(dialogues.answer.ids.shape[-1], self.max_new_tokens)
        widths = (self.interaction_width, query_width, self.vocab_size)
        self.single_observation_space = observation_space(*widths)
        self.observation_space = observation_space(*widths, vectors=self.num_envs)
        self.single_action_space = token_space(self.max_new_tokens, self.vocab_size)
        self.action_space = token_space(self.max_new_tokens, self.vocab_size, vectors=self.num_envs)

        self._first_seed = seed_of(seed)
        self._shuffler = Shuffler(len(dialogues))
        self._modes = np.empty(0, dtype=str)  # filled at the first reset, when subclasses have their settings
        self._batch: EpisodeBatch | None = None

    # --- hooks: override these for an environment of your own --------------------------------------------------------

    def mode(self, step: int) -> Mode:
        """What step ``step`` (1 for the first follow-up) asks for: the rule of the strategy,
        :func:`~rxt_mrl.contracts.mode_of`.
        """
        return mode_of(self.strategy, step, self.steps)

    def complete(self, turn: np.ndarray, query: TokenArray, answer: TokenArray, reference: TokenArray) -> TokenArray:
        """Which answers go to memory, behind their queries: the agent's, or in rows that are ``forced`` the references.

        Args:
            turn: the step that each row is completing, ``(num_envs,)``.
            query: what was asked.
            answer: what the agent said.
            reference: what the dialogue says; :func:`~rxt_mrl.envs.actions.choose` mixes the two by rows.
        """
        return choose(self.forced, reference, answer) if self.forced.any() else answer

    def context(self, context: RewardContext) -> RewardContext:
        """What the rewards get to see of a step; by default the whole context."""
        return context

    def observe(self, observation: Observation, info: dict[str, Any]) -> Observation:
        """What the agent gets to see; by default the interaction just completed and the next query."""
        return observation

    def pick(self, count: int) -> np.ndarray:
        """Which dialogues start next, ``(count,)``: by default each once in random order, then each again.

        Draw from ``self.np_random`` only, so that a seed fixes the choice.
        """
        return self._shuffler.take(count, self.np_random)

    # --- Gymnasium ---------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: starts the random order of the dialogues anew; without it the order goes on.
            options: ``episodes``: indices of the dialogues to play, one per (reset) row; ``reset_mask``: bool
                ``(num_envs,)``, the rows to reset - the others stay where they are; ``teacher_forced``: bool
                ``(num_envs,)``, which of the rows that are reset write references to memory (none given: as
                ``teacher_forcing`` says).

        Raises:
            UserError: for unknown options, and for indices outside of the data set.
        """
        given = check_options(options, ("episodes", "reset_mask", "teacher_forced"))
        seed = seed_of(seed)
        if seed is None and self._np_random is None:
            seed = self._first_seed
        super().reset(seed=seed)
        if seed is not None:
            self._shuffler.restart()
        if not len(self._modes):
            self._modes = self._all_modes()
        rows, episodes = self._chosen(given)
        self._start(rows, episodes)
        info = self._state_info()
        return self._observed(info), info

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Answer the queries; the rules for ``actions`` are those of :func:`~rxt_mrl.envs.actions.accept`.

        Raises:
            UserError: before ``reset``, after the end of an episode (autoreset disabled), for a refused action.
        """
        batch = self._running()
        answer = self._accepted(actions, self.num_envs)
        turn = batch.step + 1
        query, reference = batch.query(turn), batch.reference(turn)
        rewards, scored = self._score(np.arange(self.num_envs), query, answer, reference)
        batch.write(turn, self._fitting(self.complete(turn, query, answer, reference)))

        terminated = batch.step == self.steps
        info = self._state_info() | scored
        info["mode"], info["asks"], info["distance"] = self._modes[turn - 1], *batch.asked(turn)
        info["columns"] = batch.columns(turn)
        info["answer"] = answer
        observation = self._observed(info)
        if self.autoreset_mode == AutoresetMode.SAME_STEP and terminated.any():
            observation, info = self._autoreset(terminated, observation, info)
        return observation, rewards, terminated, np.zeros(self.num_envs, dtype=bool), info

    def score(self, actions: Mapping[str, Any], rows: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """What answers to the queries now asked would earn in ``step``; nothing changes.

        Args:
            actions: ``n`` answers, with the rules of ``step``.
            rows: ``(n,)`` integers: the row whose query each answers, in any order and as often as wanted.

        Returns:
            Rewards float32 ``(n,)``; ``info`` with ``terms``, ``metrics``, ``valid``, ``query``, ``generated`` and
            ``reference`` as after ``step``, for ``n`` answers.

        Raises:
            UserError: as ``step``, and for rows that do not exist.
        """
        batch, rows = self._running(), np.asarray(rows)
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise UserError(f"rows is one integer for each answer, got {rows!r}")
        outside = rows[(rows < 0) | (rows >= self.num_envs)]
        if outside.size:
            raise UserError(f"row {outside[0]} does not exist; allowed: 0 .. {self.num_envs - 1}")
        answer, turn = self._accepted(actions, len(rows)), batch.step + 1
        return self._score(rows, _rows_of(batch.query(turn), rows), answer, _rows_of(batch.reference(turn), rows))

    def hidden(self) -> dict[str, Any]:
        """What the agent must not see, for oracles and tests: the answers to the queries now asked.

        Returns:
            ``episodes`` ``(num_envs,)``, ``answer`` (token array of the reference answers), ``asks`` ``(num_envs,)``
            tuples and ``distance`` ``(num_envs,)``.
        """
        batch = self._running()
        asks, distance = batch.asked(batch.step + 1)
        answer = batch.reference(batch.step + 1)
        return {"episodes": batch.episodes.copy(), "answer": answer, "asks": asks, "distance": distance}

    def transcript(self, row: int) -> list[tuple[str, str]]:
        """Query and answer of each interaction of a row so far, as text; the open query with an empty answer."""
        batch, pairs = self._started(), []
        if row not in range(self.num_envs):
            raise UserError(f"row {row!r} does not exist; allowed: 0 .. {self.num_envs - 1}")
        for turn in range(int(batch.step[row]) + 1):
            written = batch.written(np.full(self.num_envs, turn))
            answer = written["answer_mask"].astype(bool)[row]
            asked = written["mask"].astype(bool)[row] & ~answer
            ids = written["ids"][row]
            pairs.append((self.tokenizer.decode(ids[asked].tolist()), self.tokenizer.decode(ids[answer].tolist())))
        query = batch.query(batch.step + 1)
        if query["mask"][row].any():
            pairs.append((self.tokenizer.decode(query["ids"][row][query["mask"][row].astype(bool)].tolist()), ""))
        return pairs

    def render(self) -> tuple[str, ...] | None:
        """Per row, the interactions so far and the open query, as text; None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(
            "\n".join(f"> {query}\n{answer}" for query, answer in self.transcript(row)) for row in range(self.num_envs)
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _accepted(self, actions: Mapping[str, Any], count: int) -> TokenArray:
        return accept(
            actions,
            rows=count,
            limit=self.max_new_tokens,
            vocab_size=self.vocab_size,
            eos_id=self.tokenizer.eos_id,
        )

    def _text(self, ids: np.ndarray, mask: np.ndarray) -> TokenText:
        return self.tokenizer.token_text(torch.from_numpy(ids), torch.from_numpy(mask.astype(np.bool_, copy=False)))

    def _chosen(self, options: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Rows to reset, and the dialogue of each."""
        rows = np.arange(self.num_envs)
        if "reset_mask" in options:
            chosen = np.asarray(options["reset_mask"])
            if chosen.dtype != np.bool_ or chosen.shape != (self.num_envs,) or not chosen.any():
                raise UserError(f"reset_mask is bool ({self.num_envs},) with at least one True, got {chosen!r}")
            if self._batch is None and not chosen.all():
                raise UserError("the first reset is of all rows; reset_mask leaves some out")
            rows = rows[chosen]
        forced = np.asarray(options.get("teacher_forced", np.full(self.num_envs, self.teacher_forcing)))
        if forced.dtype != np.bool_ or forced.shape != (self.num_envs,):
            raise UserError(f"teacher_forced is bool ({self.num_envs},), got {forced!r}")
        self.forced[rows] = forced[rows]
        episodes = np.asarray(options["episodes"] if "episodes" in options else self.pick(len(rows)))
        if episodes.shape != rows.shape or not np.issubdtype(episodes.dtype, np.integer):
            raise UserError(f"episodes is one index for each of {len(rows)} rows, got {episodes!r}")
        outside = episodes[(episodes < 0) | (episodes >= len(self.dialogues))]
        if outside.size:
            raise UserError(f"episode {outside[0]} does not exist; allowed: 0 .. {len(self.dialogues) - 1}")
        return rows, episodes.astype(np.int64)

    def _all_modes(self) -> np.ndarray:
        modes = [self.mode(step) for step in range(1, self.steps + 1)]
        wrong = [mode for mode in modes if mode not in get_args(Mode)]
        if wrong:
            raise UserError(f"mode: {wrong[0]!r} is not one of {', '.join(get_args(Mode))}")
        return np.array(modes)

    def _fitting(self, answer: TokenArray) -> TokenArray:
        """What a subclass wants to be written, if there is room for it."""
        limit = self.interaction_width - self.dialogues.query.ids.shape[-1]
        shape = answer["ids"].shape
        if len(shape) != 2 or shape[0] != self.num_envs or shape[1] > limit or answer["mask"].shape != shape:
            raise UserError(f"complete: tokens must be ({self.num_envs}, at most {limit}), got {shape}")
        return answer

    def _start(self, rows: np.ndarray, episodes: np.ndarray) -> None:
        fresh = EpisodeBatch(self.dialogues, episodes, self.steps, self.interaction_width)
        self._batch = fresh if self._batch is None else self._batch.replace(rows, fresh)

    def _started(self) -> EpisodeBatch:
        if self._batch is None:
            raise UserError("call reset() before the first step")
        return self._batch

    def _running(self) -> EpisodeBatch:
        batch = self._started()
        ended = batch.step == self.steps
        if ended.any():
            row = int(np.argmax(ended))
            raise UserError(
                f"the episode of row {row} has ended; reset it before the next step (autoreset is disabled)"
            )
        return batch

    def _observed(self, info: dict[str, Any]) -> Observation:
        batch, written = self._started(), info["written"]
        interaction: TokenArray = {"ids": written["ids"], "mask": written["mask"]}
        return self.observe({"interaction": interaction, "query": batch.query(batch.step + 1)}, info)

    def _state_info(self) -> dict[str, Any]:
        """The part of ``info`` that goes with the observation."""
        batch = self._started()
        return {"episodes": batch.episodes.copy(), "step": batch.step.copy(), "written": batch.written(batch.step)}

    def _autoreset(
        self, ended: np.ndarray, observation: Observation, info: dict[str, Any]
    ) -> tuple[Observation, dict[str, Any]]:
        rows = np.flatnonzero(ended)
        self._start(rows, self.pick(len(rows)))
        state = self._state_info()
        new_info = {**info, "episodes": state["episodes"], "written": state["written"]}
        new_info |= {"final_obs": observation, "final_info": info, "_final_obs": ended.copy()}
        new_info["_final_info"] = ended.copy()
        return self._observed(new_info), new_info

    def _score(
        self, rows: np.ndarray, query: TokenArray, answer: TokenArray, reference: TokenArray
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Rewards of answers to the queries of ``rows``, and their part of ``info``.

        Rows are in the same step unless single rows were reset; a reward context has one step, so answers are grouped
        by it (a loop over steps, never over rows).
        """
        batch = self._started()
        texts = {
            "query": self._text(query["ids"], query["mask"]),
            "generated": self._text(answer["ids"], answer["mask"]),
            "reference": self._text(reference["ids"], reference["mask"]),
        }
        shown = {name: TextInfo(text) for name, text in texts.items()}
        info: dict[str, Any] = {**shown, "terms": {}, "metrics": {}, "valid": np.ones(len(rows), dtype=bool)}
        info["failed"] = np.zeros(len(rows), dtype=bool)
        rewards = np.zeros(len(rows), dtype=np.float32)
        begun: list[tuple[Callable[[], RewardResult], np.ndarray]] = []
        if self.reward is None:
            return rewards, info
        turn = batch.step + 1
        asks, columns = batch.asked(turn)[0][rows], batch.columns(turn)[rows]
        steps = np.unique(turn[rows])
        for step in steps.tolist():
            chosen = np.flatnonzero(turn[rows] == step)
            whole = len(steps) == 1
            context = RewardContext(
                **(texts if whole else {name: text.select(chosen.tolist()) for name, text in texts.items()}),
                history=batch.history(step, rows[chosen], self._text),
                asks=tuple(asks[chosen]),
                columns=Columns.of(columns[chosen].tolist()),
                step=step,
                steps=self.steps,
                strategy=self.strategy,
                mode=self._modes[step - 1].item(),
                embedding=self.embedding,
            )
            seen = self.context(context)
            if self.defer and isinstance(self.reward, WeightedReward) and self.reward.slow:
                begun.append((self.reward.start(seen), chosen))
            else:
                _file(self.reward(seen), chosen, rewards, info)
        if begun:

            def finish() -> None:
                for wait, chosen in begun:
                    _file(wait(), chosen, rewards, info)

            info["finish"] = finish
        return rewards, info


def _rows_of(tokens: TokenArray, rows: np.ndarray) -> TokenArray:
    return {"ids": tokens["ids"][rows], "mask": tokens["mask"][rows]}


def _file(result: RewardResult, rows: np.ndarray, rewards: np.ndarray, info: dict[str, Any]) -> None:
    """Put the result for some rows into the arrays for all."""
    valid = result.valid.numpy().astype(bool)
    rewards[rows] = np.where(valid, result.total.numpy(), 0.0)
    info["valid"][rows] = valid
    info["failed"][rows] = result.failed.numpy()
    for kind, values in (("terms", result.terms), ("metrics", result.metrics)):
        for name, value in values.items():
            info[kind].setdefault(name, np.full(len(rewards), np.nan, dtype=np.float32))[rows] = value.numpy()

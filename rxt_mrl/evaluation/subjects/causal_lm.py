"""A stateless language model as a subject: it reads the whole history at every turn. Its state is that history."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...dialogues.template import pad_rows
from ...errors import UserError
from ...model.modes import inference
from ...model.sampling import SamplingConfig
from ...seeding import numpy_generator
from ..config import CONTROLS
from .foreign_tokenizer import as_ours
from .prompts import Prompts, Said
from .protocol import Answers, Reading, Turn
from .rxt import reading

History = tuple[Said, ...]

_LOGITS = 2**27
"""Logits that are computed at once, at most (half a GB), unless a single row needs more."""
_TOKENS = 2**14


class CausalLMSubject:
    """Any causal language model of ``transformers``.

    Args:
        model: on any device.
        tokenizer: its ``transformers`` tokenizer; the chat template, if it has one, makes the prompts.
        name: what reports call it.
        context: tokens that it reads at most, answer included; None: as many as the model takes. What does not fit is
            dropped from the oldest interaction on.
    """

    controls = CONTROLS

    def __init__(self, model: Any, tokenizer: Any, name: str, context: int | None = None) -> None:
        if not tokenizer.encode("a", add_special_tokens=False):  # what the library makes of a folder without one
            raise UserError(f"{name}: no tokenizer comes with the model")
        self.model, self.name = model, name
        self.tokenizer = as_ours(tokenizer)
        longest = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
        self.context = min(filter(None, (context, longest)), default=None)
        self._prompts = Prompts(tokenizer, self.context)
        vocabulary = model.config.get_text_config().vocab_size
        if len(tokenizer) > vocabulary:
            raise UserError(f"{name}: the tokenizer has {len(tokenizer)} tokens and the model {vocabulary}")
        self._most = max(1, min(_TOKENS, _LOGITS // vocabulary))

    def about(self) -> dict[str, Any]:
        """Kind, parameters, how it is shown a dialogue, and how much of it."""
        return {
            "kind": "causal_lm",
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "template": self._prompts.template,
            "context": self.context,
        }

    @property
    def window(self) -> int | None:
        """Tokens that it reads at most."""
        return self.context

    def start(self, rows: int, seeds: Sequence[int]) -> tuple[History, ...]:
        """Nothing was said."""
        return ((),) * rows

    def write(self, state: tuple[History, ...], turn: Turn) -> tuple[History, ...]:
        """The histories with one interaction more."""
        text = self.tokenizer.token_text
        said = zip(text(*turn.query).text, text(*turn.answer).text, strict=True)
        return tuple((*history, pair) for history, pair in zip(state, said, strict=True))

    def answer(self, state: tuple[History, ...], turn: Turn, sampling: SamplingConfig, seeds: Sequence[int]) -> Answers:
        """Generate from the history and the query."""
        queries = self.tokenizer.token_text(*turn.query).text
        room = sampling.max_new_tokens
        prompts = [self._prompts.prompt(*row, room) for row in zip(state, queries, strict=True)]
        rows: list[list[int]] = [[]] * len(prompts)
        for group in self._groups([len(prompt.ids) + room for prompt in prompts]):
            made = self._generate([prompts[row].ids for row in group], [seeds[row] for row in group], sampling)
            for row, ids in zip(group, made, strict=True):
                said, ended = self._prompts.said(ids)
                rows[row] = self.tokenizer.encode_text(said) + ([self.tokenizer.eos_id] if ended else [])
        return Answers(pad_rows(rows), np.array([prompt.dropped for prompt in prompts], dtype=np.int64))

    def read(self, state: tuple[History, ...], turn: Turn) -> Reading:
        """One pass over history, query and answer; what it costs are the tokens of its own tokenizer."""
        text = self.tokenizer.token_text
        queries, references = text(*turn.query).text, text(*turn.answer).text
        answers = [self._prompts.answer(reference) for reference in references]
        prompts = [
            self._prompts.prompt(history, query, len(answer)).ids
            for history, query, answer in zip(state, queries, answers, strict=True)
        ]
        found = np.zeros((3, len(turn)))
        for group in self._groups([len(prompts[row]) + len(answers[row]) for row in range(len(turn))]):
            found[:, group] = self._read([prompts[row] for row in group], [answers[row] for row in group])
        bits, tokens, correct = found
        return Reading(bits, tokens.astype(np.int64), correct.astype(np.int64))

    def pick(self, state: tuple[History, ...], rows: Sequence[int]) -> tuple[History, ...]:
        """Histories of some rows."""
        return tuple(state[row] for row in rows)

    def join(self, states: Sequence[tuple[History, ...]]) -> tuple[History, ...]:
        """One after the other."""
        return tuple(row for state in states for row in state)

    def _groups(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Rows that are computed together: alike in length, and no more than fit."""
        order = sorted(range(len(lengths)), key=lambda row: lengths[row])
        group: list[int] = []
        for row in order:
            if group and (len(group) + 1) * lengths[row] > self._most:
                yield group
                group = []
            group.append(row)
        if group:
            yield group

    def _read(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> Reading:
        tokens = pad_rows([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
        ids, mask = (part.to(self.model.device) for part in tokens)
        counts = torch.tensor([len(answer) for answer in answers], device=ids.device)
        length, place = mask.sum(1, keepdim=True), torch.arange(ids.shape[1], device=ids.device)
        answered = mask & (place >= length - counts.unsqueeze(1))
        with inference(self.model):
            logits = self.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        return reading(logits[:, :-1][answered[:, 1:]], ids[answered], counts)

    def _generate(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], sampling: SamplingConfig
    ) -> list[list[int]]:
        from transformers import GenerationConfig, LogitsProcessorList

        # Left-padded: what is generated follows the prompt.
        tokens = pad_rows([prompt[::-1] for prompt in prompts])
        ids, mask = (part.flip(1).to(self.model.device) for part in tokens)
        how = GenerationConfig(
            do_sample=False,
            max_new_tokens=sampling.max_new_tokens,
            eos_token_id=list(self._prompts.ends),
            pad_token_id=self._prompts.ends[0],
        )
        noise = [] if sampling.greedy else [_Gumbel(seeds, sampling.temperature, ids.shape[1])]
        with inference(self.model):
            made = self.model.generate(
                input_ids=ids,
                attention_mask=mask.long(),
                generation_config=how,
                logits_processor=LogitsProcessorList(noise),
            )
        return made[:, ids.shape[1] :].tolist()


class _Gumbel:
    """Sampling as the largest of the logits with noise that each row draws from its own seed."""

    def __init__(self, seeds: Sequence[int], temperature: float, start: int) -> None:
        self._seeds, self._temperature, self._start = seeds, temperature, start

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        step = ids.shape[1] - self._start
        noise = np.stack([numpy_generator(seed, "gumbel", step).gumbel(size=scores.shape[1]) for seed in self._seeds])
        return scores / self._temperature + torch.from_numpy(noise).to(scores)


def load_causal_lm(name: str, context: int | None = None) -> CausalLMSubject:
    """A model from a folder, a ``.gguf`` file, or the Hub (or its cache, when offline).

    Raises:
        UserError: one line that says what is missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging as library

    path = Path(name).expanduser()
    where: dict[str, Any] = {"pretrained_model_name_or_path": name}
    if path.suffix == ".gguf":
        where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    if (path.suffix == ".gguf" or path.is_absolute() or name.startswith(".")) and not path.exists():
        raise UserError(f"hf:{name}: no such file or folder")
    shown, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()  # what is wrong is one line, below
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer = AutoTokenizer.from_pretrained(**where)
            model: Any = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"hf:{name}: its weights are a pickle of other things than tensors; nothing of it was run"
        ) from error
    except Exception as error:  # whatever the library, the network or a broken file makes of it
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"hf:{name}: cannot be loaded as a causal language model ({lines[0]})") from error
    finally:
        library.set_verbosity(level)
        if shown:
            library.enable_progress_bar()
    model.generation_config = GenerationConfig()  # greedy or sampled as the evaluation says, not as the model does
    logging.getLogger("transformers.generation.utils").setLevel(logging.ERROR)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return CausalLMSubject(model.to(device), tokenizer, path.name, context)

"""What ``rxt-mrl evaluate`` can measure, and on what: from words of the command line to a subject and its dialogues."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from ..contracts import Dialogue
from ..dialogues.batching import DialogueTensors, encode_dialogues
from ..dialogues.sources import DataSettings, load_dialogues
from ..dialogues.sources.inspect import settings_of
from ..dialogues.tokenizer import FILE, DialogueTokenizer
from ..errors import UserError
from ..evaluation.config import EvaluationSettings
from ..evaluation.subjects.causal_lm import load_causal_lm
from ..evaluation.subjects.known import Kind, KnownSubject
from ..evaluation.subjects.protocol import Subject
from ..evaluation.subjects.rxt import RxTSubject
from ..files import read_json
from ..model import RxT
from ..model.hub import FORMAT, fetch
from ..model.published import convert_published
from ..runs import RunDir, checkpoints
from ..settings import Settings, validate
from . import provenance
from .data import MAX_TEXTS, RunData
from .recipe import Recipe
from .recipe_files import override

KNOWN: tuple[str, ...] = get_args(Kind)
_VOCABULARY = 1000
"""Of the tokenizer that a subject without one of its own gets, trained on the dialogues."""
_UNLIMITED = 1_000_000


class _Alone(Settings):
    """What can be set where there is no recipe."""

    evaluation: EvaluationSettings = EvaluationSettings()


@dataclass(frozen=True)
class Target:
    """What is measured.

    Attributes:
        name: what reports call it: the stage of a run, or the target's own name.
        build: the subject, given the dialogues (a subject without a tokenizer trains one on them).
        settings: of the evaluation.
        identity: what tells its weights from others.
        run: the run directory that it lies in, if it does.
        data: of the run.
    """

    name: str
    build: Callable[[Sequence[Dialogue]], Subject[Any]]
    settings: EvaluationSettings
    identity: str
    run: RunDir | None = None
    data: RunData | None = None


@dataclass(frozen=True)
class HeldOut:
    """Dialogues that a target is measured on.

    Attributes:
        name: of the source, in reports and file names.
        subject: who answers them.
        dialogues: encoded with the subject's tokenizer.
        settings: of the evaluation, with as many episodes as there are.
    """

    name: str
    subject: Subject[Any]
    dialogues: DialogueTensors
    settings: EvaluationSettings

    @property
    def digest(self) -> str:
        """Of the dialogues' tokens, and of what else the data says of them."""
        parts = (*self.dialogues.query, *self.dialogues.answer)
        said = repr((self.dialogues.asks, self.dialogues.columns, self.dialogues.strategy)).encode(
            "utf-8", "surrogatepass"
        )
        return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts) + said).hexdigest()[:16]


# --- targets ---------------------------------------------------------------------------------------------------------


def open_target(text: str, assignments: Sequence[str], tokenizer: Path | None = None) -> Target:
    """The target that a word of the command line names.

    Args:
        text: ``oracle``, ``random``, ``echo``; ``hf:NAME``; a run, a checkpoint folder, or a published checkpoint (a
            folder or a Hub id), which is converted.
        assignments: ``--set`` changes of the run's recipe; without a run, of ``evaluation`` alone.
        tokenizer: folder with the tokenizer of a checkpoint that brings none.

    Raises:
        UserError: one line, when there is no such target.
    """
    if not text:
        raise UserError("evaluate: a target is named by a string, got ''")
    path = Path(text).expanduser()
    run = checkpoints.run_of(path) if path.is_dir() else None
    if tokenizer is not None and (run is not None or text in KNOWN or text.startswith("hf:")):
        raise UserError(f"--tokenizer {tokenizer}: {text} has its own")
    if run is not None:
        return _of_run(path, run, assignments)
    settings = validate(_Alone, override({}, assignments), "--set").evaluation
    if text in KNOWN:
        kind = cast(Kind, text)
        return Target(text, lambda dialogues: KnownSubject(kind, _tokenizer(dialogues)), settings, text)
    subject: Subject[Any]
    if text.startswith("hf:"):
        subject = load_causal_lm(text.removeprefix("hf:"), settings.context)
    else:
        subject = RxTSubject(*_checkpoint(text, path, tokenizer), name=_plain(path.name))
    weights = weights_of(Path(text.removeprefix("hf:")).expanduser())
    return Target(_plain(subject.name), lambda _: subject, settings, f"{text} {weights}")


def _of_run(path: Path, run: Path, assignments: Sequence[str]) -> Target:
    """A run's last complete stage, or one of its checkpoints, with the run's recipe."""
    folder = checkpoints.locate(path)
    stored = provenance.stored_recipe(run / "recipe.yaml")
    recipe = validate(Recipe, override(stored, assignments), str(run / "recipe.yaml"))
    model, tokenizer = checkpoints.load(folder)
    subject = RxTSubject(model, tokenizer, recipe.name)
    identity = f"{folder.resolve()} {weights_of(folder)}"
    return Target(folder.name, lambda _: subject, recipe.evaluation, identity, RunDir(run), RunData(recipe, tokenizer))


def _checkpoint(text: str, path: Path, folder: Path | None) -> tuple[RxT, DialogueTokenizer]:
    """Model and tokenizer of a checkpoint that lies in no run: ours, or a published one."""
    if path.is_dir() and not (path / "config.json").is_file():
        raise UserError(f"{text}: neither a run nor a checkpoint (no recipe.yaml, no config.json)")
    if not path.is_dir() and (path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", text)):
        known = ", ".join(KNOWN)
        raise UserError(f"{text}: no such directory; a target is a run, a checkpoint, a Hub id, hf:NAME, or: {known}")
    config = read_json(fetch(text if not path.is_dir() else path, "config.json"))
    if config.get("format") == FORMAT and path.is_dir() and folder is None:
        return checkpoints.load(path)
    if folder is not None and path.is_dir() and (path / FILE).is_file():
        own, given = DialogueTokenizer.load(path), DialogueTokenizer.load(folder)
        if own.fingerprint != given.fingerprint:
            raise UserError(f"--tokenizer {folder}: not the tokenizer that lies in {text}; its ids mean other words")
    if "architectures" in config and "model_type" in config:
        raise UserError(f"{text}: a model of the transformers library; name it hf:{text}")
    source = str(path) if path.is_dir() else text
    if folder is None and path.is_dir() and not (path / FILE).is_file():
        raise UserError(f"{text}: the folder has no {FILE}; name the folder of its tokenizer with --tokenizer")
    tokenizer = DialogueTokenizer.load(fetch(source, FILE) if folder is None else folder)
    model = RxT.from_pretrained(source) if config.get("format") == FORMAT else convert_published(source)[0]
    if not isinstance(model, RxT):
        raise UserError(f"{text}: holds a {type(model).__name__}; a whole model is needed")
    if model.config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"{text}: the model has {model.config.vocab_size} tokens and the tokenizer {tokenizer.vocab_size}"
        )
    return model, tokenizer


def weights_of(path: Path) -> str:
    """Sizes and times of the files with weights."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] if path.is_file() else []
    return " ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


def _tokenizer(dialogues: Sequence[Dialogue]) -> DialogueTokenizer:
    texts = [text for dialogue in dialogues for turn in dialogue.turns for text in (turn.query, turn.answer)]
    return DialogueTokenizer.train(texts, _VOCABULARY)


# --- dialogues -------------------------------------------------------------------------------------------------------


def held_out(target: Target, source: str, split: str | None) -> HeldOut:
    """The dialogues of a source: one of the run's recipe by its name, or anything that ``rxt-mrl data`` reads.

    Args:
        target: what is measured.
        source: a name or a word of the command line.
        split: of a source that is not the recipe's; None: validation, and of a single file all.

    Raises:
        UserError: no such source, nothing in it, or dialogues that are too few or too short.
    """
    if target.data is not None and source in target.data.recipe.data.sources:
        if split is not None:
            raise UserError(f"--split: {source} is a source of the recipe; use --set data.sources.{source}.splits=...")
        settings = target.settings.model_copy(update={"data": (source,)})
        return HeldOut(source, target.build(()), target.data.held_out(source), settings)
    try:
        data = settings_of(source)
    except UserError as error:
        if target.data is None:
            raise
        names = ", ".join(target.data.recipe.data.sources)
        raise UserError(f"{error}; sources of the recipe: {names}") from error
    dialogues = load_dialogues(
        data, split or _whole(data), steps=target.settings.steps, episodes=target.settings.episodes or MAX_TEXTS, seed=0
    ).dialogues
    subject = target.build(dialogues)
    encoded = _encode(dialogues, subject, target.settings, data, source)
    name = _plain(Path(data.path or data.name or data.source).stem)
    settings = target.settings.model_copy(update={"data": (name,), "episodes": len(encoded)})
    return HeldOut(name, subject, encoded, settings)


def _whole(data: DataSettings) -> str:
    """The split that is measured where none is named."""
    single = data.path is not None and Path(data.path).expanduser().is_file()
    return "train" if single and not data.holdout and not data.splits else "validation"


def _encode(
    dialogues: Sequence[Dialogue], subject: Subject[Any], settings: EvaluationSettings, data: DataSettings, source: str
) -> DialogueTensors:
    """Encoded to fit the subject's window: what is longer is cut, and told."""
    window, answer, query = subject.window, _UNLIMITED, _UNLIMITED
    if window is not None and not _drops(subject):
        texts = [turn.answer for dialogue in dialogues for turn in dialogue.turns]
        answer = min(max(len(ids) for ids in subject.tokenizer.encode_texts(texts)) + 1, window // 2)
        query = window - answer
    try:
        return encode_dialogues(
            dialogues,
            subject.tokenizer,
            max_query=query,
            max_answer=answer,
            strategy=data.strategy,
            steps=settings.steps,
        )
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _drops(subject: Subject[Any]) -> bool:
    """Whether the subject itself sees to it that a history fits."""
    return subject.about()["kind"] == "causal_lm"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-") or "data"

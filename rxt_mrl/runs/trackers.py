"""Trackers: what a run logs, also sent to where people look at it: trackio, wandb, mlflow, whatever accelerate knows.

``metrics.jsonl`` is the record; a tracker gets its lines once each. How many lines of each section it has got stands in
``trackers.json``, so a run that is gone on with does not send again the updates that it does again: they are the same,
bit for bit. A tracker that fails costs no training: it gets the rest when the run is gone on with.

The steps of all sections count on: a tracker shows one axis.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import read_json, write_json

log = logging.getLogger(__name__)

FILE = "trackers.json"
TENSORBOARD = "tensorboard"
"""Is written by the run directory itself, from ``metrics.jsonl``."""

Wanted = Mapping[str, Mapping[str, Any]]
"""Trackers by name, with arguments for what begins them (``wandb.init``, ``trackio.init``, ...)."""


def check_trackers(wanted: Iterable[str]) -> None:
    """Whether all trackers are known and installed.

    Raises:
        UserError: for the first that is not.
    """
    others = [name for name in wanted if name != TENSORBOARD]
    if not others:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    for name in others:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise UserError(f"report_to = {name!r}: is unknown; allowed: {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}")
        if name not in {str(found) for found in get_available_trackers()}:
            package = name.replace("_", "-")
            raise UserError(f"report_to = {name!r}: is not installed here; pip install {package}")


def _kept_up(name: str, run: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by which a tracker goes on with the run that it began, where it can."""
    return {
        "trackio": {"name": run, "resume": "allow"},
        "wandb": {"name": run, "id": run, "resume": "allow"},
        "swanlab": {"experiment_name": run, "id": known.get("id", run), "resume": "allow"},
        "mlflow": {"run_name": run, **({"run_id": known["id"]} if "id" in known else {})},
    }.get(name, {})


class Trackers:
    """The trackers of one run, under way.

    Args:
        folder: the run directory, where ``trackers.json`` is kept.
        wanted: which.
        project: what trackers file the run under.
        run: the run's name there.
        configuration: plain values that the run is described by; what lies below other keys gets their names, ``a.b``.

    Raises:
        UserError: for one that cannot be begun.
    """

    def __init__(
        self, folder: Path, wanted: Wanted, *, project: str, run: str, configuration: Mapping[str, Any]
    ) -> None:
        self._path = folder / FILE
        self._known: dict[str, Any] = read_json(self._path, "delete it") if self._path.is_file() else {}
        self._counts: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._open: dict[str, Any] = {}
        names = [name for name in wanted if name != TENSORBOARD]
        check_trackers(names)
        for name in names:
            self._open[name] = self._begin(name, wanted[name], project, run, dict(_flat(configuration)))

    def _begin(
        self, name: str, options: Mapping[str, Any], project: str, run: str, configuration: Mapping[str, Any]
    ) -> Any:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        known = self._known.setdefault(name, {"sent": {}, "run": run})
        kind = LOGGER_TYPE_TO_CLASS[name]
        arguments: dict[str, Any] = {**_kept_up(name, known["run"], known), **options}
        if kind.requires_logging_directory or name == "mlflow":
            arguments.setdefault("logging_dir", str(self._path.parent / name))
        title = arguments.pop("project", project)
        try:
            _accelerate_is_ready()
            tracker = kind(title, **arguments)
            tracker.main_process_only = False  # what writes here is the main process
            tracker.start()
            if "id" not in known:  # mlflow keeps what a run began with, and refuses another value
                tracker.store_init_configuration(dict(configuration))
        except Exception as error:  # each has its own
            begun = f"; delete {self._path}, and it begins anew with all that was logged" if known["sent"] else ""
            raise UserError(f"report_to: {name} cannot be begun ({_line(error)}){begun}") from error
        active = getattr(tracker, "active_run", None)  # mlflow numbers its runs itself
        if active is not None:
            known["id"] = active.info.run_id
        return tracker

    def send(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Send lines of ``metrics.jsonl``, in their order; those that were sent before are passed over."""
        for line in lines:
            section, step = line["section"], line["step"]
            if section not in self._counts:
                self._counts[section] = 0
            self._counts[section] += 1
            start = sum(end for name, end in self._ends.items() if name != section)
            self._ends[section] = max(step, self._ends.get(section, 0))
            values = {
                f"{section}/{name}": value
                for name, value in line.items()
                if name not in ("section", "step", "time") and value is not None
            }
            for name in list(self._open):
                self._send_to(name, section, {**values, f"{section}/update": step}, start + step)

    def _send_to(self, name: str, section: str, values: dict[str, Any], step: int) -> None:
        sent = self._known[name]["sent"]
        if self._counts[section] <= sent.get(section, 0):
            return
        before = sent.get(section, 0)
        sent[section] = self._counts[section]
        write_json(self._path, self._known)  # first: a run that is killed here loses a line, and repeats none
        try:
            _accelerate_is_ready()
            self._open[name].log(values, step=step)
        except Exception as error:  # each has its own
            sent[section] = before
            write_json(self._path, self._known)
            log.warning("%s gets nothing more (%s); --resume sends it the rest", name, _line(error))
            del self._open[name]

    def rewound(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Some lines were forgotten; these are left."""
        self._counts, self._ends = {}, {}
        for line in lines:
            self._counts[line["section"]] = self._counts.get(line["section"], 0) + 1
            self._ends[line["section"]] = max(line["step"], self._ends.get(line["section"], 0))

    def moved(self, folder: Path) -> None:
        """The run directory is another one now."""
        self._path = folder / FILE

    def close(self) -> None:
        """End all of them; they send what they still hold."""
        for name, tracker in self._open.items():
            try:
                _accelerate_is_ready()
                tracker.finish()
            except Exception as error:  # each has its own
                log.warning("%s could not be ended (%s)", name, _line(error))
        self._open = {}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _accelerate_is_ready() -> None:
    """Trackers log what they do with accelerate's logger, which wants its state to be there; Trainers make it anew."""
    from accelerate import PartialState

    if not PartialState._shared_state:
        PartialState(cpu=True)


def _line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]

"""Files that are whole or not there: written beside their place and moved to it, and one line where that fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import UserError


class WriteError(UserError):
    """A file could not be written: a full disk, a limit, a folder that may not be written to. What was there stays."""

    def __init__(self, path: Path, error: Exception) -> None:
        # torch's writer of zip files says where it stands, and not why
        why = "the disk is full, or a limit is reached" if "inline_container" in str(error) else reason(error)
        super().__init__(f"{path}: cannot be written ({why})")


def reason(error: BaseException) -> str:
    """The first line of what an exception says, without the numbers and paths that the system puts around it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to, which takes its place at the end; after an error nothing has changed.

    It has the mode of a file that is made anew, whatever the library that writes it thinks of modes.

    Raises:
        WriteError: for anything that goes wrong inside.
    """
    place = Path(os.path.realpath(path))  # a link stays, and leads to the new file
    part = place.with_name(f"{place.name}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            mode = os.fstat(file.fileno()).st_mode
        yield part
        part.chmod(mode & 0o777)
        os.replace(part, place)
    except BaseException as error:
        _remove(part)
        if isinstance(error, Exception) and not isinstance(error, UserError):
            raise WriteError(path, error) from error
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # what keeps a file from being written may keep it from being removed
        return


def write_text(path: Path, text: str) -> None:
    """Write a text.

    Raises:
        WriteError: when that fails.
    """
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON.

    Raises:
        WriteError: when that fails.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors.

    Raises:
        WriteError: when that fails.
    """
    with whole(path) as part:
        save_file(dict(tensors), part, metadata=None if metadata is None else dict(metadata))


def read_text(path: Path, advice: str = "") -> str:
    """Read a text; see :func:`read_json`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, error, advice) from error


def read_json(path: Path, advice: str = "") -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        advice: what to do when it is damaged.

    Raises:
        UserError: when it cannot be read or is something else.
    """
    text = read_text(path, advice)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, error, advice) from error
    if not isinstance(content, dict):
        raise damaged(path, ValueError(f"a JSON {type(content).__name__}, not an object"), advice)
    return content


def read_tensors(path: Path, advice: str = "") -> dict[str, Tensor]:
    """Read safetensors; see :func:`read_json`."""
    try:
        return load_file(path)
    except Exception as error:  # safetensors and torch have several
        raise damaged(path, error, advice) from error


def damaged(path: Path, error: BaseException, advice: str = "") -> UserError:
    """The error of a file that cannot be read, with what to do."""
    empty = not isinstance(error, OSError) and path.is_file() and path.stat().st_size == 0
    what = "it is empty" if empty else reason(error)
    return UserError(f"{path}: cannot be read ({what})" + (f"; {advice}" if advice else ""))

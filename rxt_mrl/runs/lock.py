"""One process at a time trains in a run directory: a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from ..errors import UserError
from ..files import reason

FILE = "running"
"""Name of the lock file: process and machine that train in this folder. What a killed process leaves locks nothing."""


class Lock:
    """Held from its making to :meth:`release`, or to the end of the process, however that comes.

    Args:
        folder: an existing run directory.

    Raises:
        UserError: when another process holds it (it is named), or the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        while True:
            try:
                self._file = self._path.open("a+b", buffering=0)
            except OSError as error:
                raise UserError(f"{folder}: cannot be written to ({reason(error)})") from error
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read(200).decode("utf-8", "replace") or "another process"
                raise UserError(f"{folder}: {holder} is training in it; wait for its end, or stop it") from None
            except OSError as error:
                raise UserError(f"{self._path}: cannot be locked ({reason(error)})") from error
            if self._is_there():
                break
            self._file.close()  # its holder ended between the two calls and took the file with it
        try:
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            self.release()
            raise UserError(f"{self._path}: cannot be written ({reason(error)})") from error

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def moved(self, folder: Path) -> None:
        """The folder was renamed."""
        self._path = folder / FILE

    def release(self) -> None:
        """Let others train here."""
        with contextlib.suppress(OSError):  # the folder may be read-only by now
            self._path.unlink(missing_ok=True)
        self._file.close()

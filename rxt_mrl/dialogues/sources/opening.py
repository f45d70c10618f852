"""Opening files, unpacked where they are compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a gzip file that broke off, or was damaged, raises."""


def opened(file: Path) -> IO[bytes]:
    """The bytes of a file, unpacked if it is a gzip file (whatever its name).

    Raises:
        OSError: when it cannot be opened.
    """
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(file, "rb")) if packed else file.open("rb")


def suffix_of(file: Path) -> str:
    """The suffix in lower case, that of the file inside where it is compressed (``x.json.gz``: ``.json``)."""
    inner = Path(file.stem) if file.suffix.lower() == ".gz" else file
    return inner.suffix.lower()

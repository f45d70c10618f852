"""What a file is that is not what it was taken for, by its first bytes, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from .opening import BROKEN, opened

_HEADS: tuple[tuple[bytes, str], ...] = (
    (b"BZh", "compressed with bzip2: unpack it (bunzip2)"),
    (b"\xfd7zXZ\x00", "compressed with xz: unpack it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it (unzstd)"),
    (b"PK\x03\x04", "a zip archive (or a spreadsheet): unpack it"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x93NUMPY", "an array of NumPy: export its rows as JSON lines"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"\xff\xfe\0\0", "UTF-32: save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    (b"\0\0\xfe\xff", "UTF-32: save it as UTF-8 (iconv -f UTF-32 -t UTF-8)"),
    (b"\xff\xfe", "UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"\xfe\xff", "UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"PAR1", "parquet: read it as source parquet, with the suffix .parquet"),
    (b"ARROW1", "Arrow: read it as source arrow, with the suffix .arrow"),
    (b"\xff\xff\xff\xff", "Arrow: read it as source arrow, with the suffix .arrow"),
    (b"SQLite format 3", "an SQLite database: export its rows as JSON lines"),
    (b"%PDF", "a PDF: extract its text"),
    (b"\x80\x02", "a pickle, which is never loaded: it could run code; export its rows as JSON lines"),
    (b"\x80\x03", "a pickle, which is never loaded: it could run code; export its rows as JSON lines"),
    (b"\x80\x04", "a pickle, which is never loaded: it could run code; export its rows as JSON lines"),
    (b"\x80\x05", "a pickle, which is never loaded: it could run code; export its rows as JSON lines"),
    (b"version https://git-lfs.github.com/spec", "a Git LFS pointer in place of the data: git lfs pull fetches it"),
)


def foreign(file: Path) -> str | None:
    """What the file is (unpacked), where it cannot be read as UTF-8 text; None where it can, or where nothing tells.

    Raises:
        OSError: when it cannot be read at all.
    """
    with opened(file) as stream:
        try:
            head = stream.read(1024)
        except BROKEN as error:
            return f"a damaged gzip file ({error})"
    for magic, what in _HEADS:
        if head.startswith(magic):
            return what
    begin = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith((b"<!doctype html", b"<html")):
        return "a web page: download the file itself"
    if b"\0" in head:
        # every second byte of plain letters in UTF-16 without a mark at its beginning
        wide = head[1::2].count(0) > len(head) // 4 or head[0::2].count(0) > len(head) // 4
        return "UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)" if wide else "binary, not text"
    return None

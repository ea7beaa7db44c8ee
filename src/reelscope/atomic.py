"""Files that are whole or not there: written beside their place, then renamed into it.

A reader sees the old file or the new one, never half of one, whatever kills the writer.
What a killed run leaves behind is a hidden file that ends in `TEMPORARY_SUFFIX`; nothing
reads such files and any of them may be deleted while no run is going on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from reelscope.errors import OutputError

TEMPORARY_SUFFIX = ".reelscope-tmp"

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EEXIST: "a file is where a folder should be",
    errno.EMFILE: "too many files are open",
}


def write_atomic(
    path: Path, data: bytes | str, *, durable: bool = True, mode: int | None = None
) -> None:
    """Write the whole file at once; folders above it are made.

    Args:
        path: where the file ends up; one that is there is replaced.
        data: text is encoded as UTF-8, line ends stay as they are.
        durable: wait until the bytes are on the disk, so that even a power cut leaves
            the old or the new file. Without it that holds for a killed process only.
        mode: permissions of the new file, 0o600; None: as the system gives them.

    Raises:
        OutputError: a sentence that names the file and the cause.
    """
    raw = data.encode("utf-8") if isinstance(data, str) else data
    with open_atomic(path, durable=durable) as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(raw)


@contextlib.contextmanager
def open_atomic(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """As `write_atomic`, for a file that is written piece by piece.

    The file appears when the block ends; if the block raises, nothing changes on disk.

    Raises:
        OutputError: a sentence that names the file and the cause.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def not_written(path: Path, error: OSError) -> OutputError:
    """The error that says in a sentence which file could not be written, and why."""
    cause = _CAUSES.get(error.errno or 0) or error.strerror or str(error)
    return OutputError(f"{path} could not be written: {cause}")


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed run left in this folder; nothing if there is no such folder."""
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        with contextlib.suppress(OSError):
            path.unlink()

"""A folder for files that are not to stay: gone at the end, or when the next one is made."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from reelscope.atomic import not_written

PREFIX = ".reelscope-work-"
_LOCK = ".lock"
YOUNG_S = 60.0
"""A folder without a lock that is younger may belong to somebody."""


@contextlib.contextmanager
def work_folder(above: Path) -> Iterator[Path]:
    """A new folder in `above`, which is made; removed with all that is in it when the block ends.

    It carries a lock of the kernel's that ends with this process. What a killed process has
    left behind has none any more, and is removed here.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        above.mkdir(parents=True, exist_ok=True)
        for left in above.glob(f"{PREFIX}*"):
            _remove_if_left(left)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise not_written(above, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_if_left(folder: Path) -> None:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # Its owner was killed before it could lock it, or is about to.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > YOUNG_S:
                shutil.rmtree(folder, ignore_errors=True)
        return
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # in use
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)

"""Which bytes a file holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from reelscope.errors import MediaChanged, UnreadableMedia
from reelscope.records import MediaId


def media_id(path: Path, known: MediaId | None = None) -> MediaId:
    """sha256, size and modification time of a file.

    Args:
        path: the file.
        known: what was found earlier; with the same size and time it is returned as it is
            and the file is not read.

    Raises:
        UnreadableMedia: it cannot be read.
        MediaChanged: it changed while it was read.
    """
    try:
        before = path.stat()
        if known and (known.size_bytes, known.mtime_ns) == (before.st_size, before.st_mtime_ns):
            return known
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(f"the file cannot be opened ({reason})") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise MediaChanged("the file changed while it was read")
    return MediaId(sha256=digest, size_bytes=after.st_size, mtime_ns=after.st_mtime_ns)

"""The one rule that turns text from outside into the name of a folder.

Whatever comes in, `root / safe_name(text)` is a direct child of `root` that Linux, macOS
and Windows can all make.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_BYTES = 100
"""Of a name, in UTF-8: two of them, a joint and a suffix fit the 255 of a file system."""

_DIGEST_CHARACTERS = 10
# Windows keeps these for devices, whatever follows the first dot (Microsoft, "Naming
# Files, Paths, and Namespaces").
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def safe_name(text: str) -> str:
    """Make a folder name of `text`; a name that is safe already comes back as it is.

    Kept are letters, marks and numbers of any script and `. _ -`, in normal form C. If
    anything else had to go, or the name is too long, empty, reserved, or begins or ends
    badly, ten hexadecimal digits of the text's SHA-256 follow, so that different texts
    get different names.

    Returns:
        1 to `MAX_BYTES` bytes of UTF-8; `safe_name` of it is the same again.
    """
    normal = unicodedata.normalize("NFC", text)
    if _is_safe(normal):
        return normal
    kept = re.sub("_+", "_", "".join(c if _is_kept(c) else "_" for c in normal)).strip("._-")
    return marked_name(f"_{kept}" if _DEVICE.fullmatch(kept) else kept, of=normal)


def marked_name(base: str, *, of: str) -> str:
    """`base`, cut if need be, and the short digest of `of` that makes it unique."""
    digest = hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    room = MAX_BYTES - len(digest) - 1
    short = base.encode("utf-8")[:room].decode("utf-8", "ignore").rstrip("._-")
    return f"{short or 'unnamed'}-{digest}"


def _is_safe(name: str) -> bool:
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_BYTES
        and all(map(_is_kept, name))
        and name[0] not in ".-"
        and name[-1] != "."  # Windows drops it
        and not _DEVICE.fullmatch(name)
    )


def _is_kept(character: str) -> bool:
    return character in "._-" or unicodedata.category(character)[0] in "LMN"

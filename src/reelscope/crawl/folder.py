"""Videos that are on disk already: a folder per creator, or any files.

Nothing here opens a video. A candidate is every ordinary file that is not hidden and does
not carry the suffix of something that lies beside videos; what it really is, the probe
says. A link to an ordinary file is as good as the file: people link what is too large to
copy, and it is only read. Links to folders are not entered below a folder that was asked
for, and pipes, sockets and devices never count.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from reelscope.crawl.creators import Creator
from reelscope.crawl.names import marked_name, safe_name
from reelscope.crawl.sidecar import read_sidecar
from reelscope.errors import UsageError
from reelscope.records import VideoSource

logger = logging.getLogger(__name__)

NOT_VIDEOS = frozenset({
    ".json", ".jsonl", ".txt", ".csv", ".tsv", ".md", ".html", ".htm", ".xml", ".yml", ".yaml",
    ".log", ".nfo", ".description", ".pdf", ".srt", ".vtt", ".ass", ".ssa", ".sub", ".lrc",
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".heic", ".avif", ".svg", ".ini", ".db", ".sqlite",
    ".parquet", ".url", ".lnk", ".part", ".tmp", ".temp", ".bak", ".ytdl", ".aria2", ".download",
    ".crdownload",
})  # fmt: skip
"""Suffixes of what lies beside videos: descriptions, subtitles, pictures, half downloads."""


def folder_videos(root: Path, creator: Creator) -> list[VideoSource]:
    """The videos in the creator's folder below `root`, by name; none if there is no folder."""
    folder = find_folder(root, creator)
    if folder is None:
        return []
    try:
        files, _ = _contents(folder)
    except OSError as error:
        logger.warning("%s cannot be read: %s", folder, error.strerror)
        return []
    return _sources([(creator.folder, path) for path in files])


def find_folder(root: Path, creator: Creator) -> Path | None:
    """`root/<username>`, else `root/<folder name>`, else either in other capitals."""
    for name in (creator.username, creator.folder):
        if (root / name).is_dir():
            return root / name
    wanted = {_folded(creator.username), _folded(creator.folder)}
    try:
        near = sorted(path for path in root.iterdir() if _folded(path.name) in wanted)
    except OSError:
        return None
    return next((path for path in near if path.is_dir()), None)


def file_videos(paths: Iterable[Path]) -> list[VideoSource]:
    """The videos at these paths: files as they are, folders with everything below them.

    The creator of a video is the folder that it lies in. Hidden folders and links to
    folders are not entered. A file that is named twice is taken once.

    Raises:
        UsageError: a path does not exist, is no file or folder, or cannot be read; or
            there is no candidate at all.
    """
    given = list(paths)
    found: dict[str, tuple[str, Path]] = {}
    for path in given:
        for file in _videos_at(path):
            creator = Path(os.path.abspath(file)).parent.name  # noqa: PTH100 - keeps links
            found.setdefault(_real(file), (safe_name(creator or "files"), file))
    if not found:
        raise UsageError(f"no video in {', '.join(map(str, given)) or 'nothing'}")
    return _sources(list(found.values()))


def with_frames_ids(sources: Sequence[VideoSource], results_root: Path) -> list[VideoSource]:
    """Give every source the name of its frames folder, unlike that of any other video.

    Of several in the list that could have the same name, none has it alone.
    """
    names = FramesNames(results_root)
    for source in sources:
        names.know(source)
    return [names.named(source) for source in sources]


class FramesNames:
    """Names of frames folders, for videos that come one by one.

    A name is the video id; `<video_id>_<creator>` where another creator, among those known
    so far or among the records on disk, has a video of that id; with a digest where even
    that could be another's. A video that has a record keeps the name that stands in it.

    Args:
        results_root: holds the creators' folders with their records.
    """

    def __init__(self, results_root: Path) -> None:
        self._root = results_root
        self._stored = _stored(results_root)
        self._owners: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for pair in self._stored:
            self._know(pair)

    def know(self, source: VideoSource) -> None:
        """A video that is there, or will be."""
        self._know((source.creator, source.video_id))

    def named(self, source: VideoSource) -> VideoSource:
        """The source with the name of its frames folder."""
        self.know(source)
        name = self._name((source.creator, source.video_id))
        return source.model_copy(update={"frames_id": name})

    def _know(self, pair: tuple[str, str]) -> None:
        for name in (pair[1], _joint(pair)):
            self._owners[name.casefold()].add(pair)

    def _name(self, pair: tuple[str, str]) -> str:
        stored = pair in self._stored
        if stored and (kept := _recorded(self._root.joinpath(*pair, "record.json"))):
            return kept
        for name in (pair[1], _joint(pair)):
            if self._owners[name.casefold()] == {pair}:
                return name
        return marked_name(_joint(pair), of="/".join(pair))


# -------------------------------------------------------------------------- on disk


def _videos_at(path: Path) -> Iterator[Path]:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not _is_text(str(path)):
        raise UsageError(f"{str(path)!a}: the name is not UTF-8; rename it first")
    if stat.S_ISDIR(mode):
        yield from _walk(path)
    elif not stat.S_ISREG(mode):
        raise UsageError(f"{path} is neither a file nor a folder")
    elif _may_be_video(path.name) or path.name.startswith("."):
        yield path
    else:
        logger.warning("%s is left out: %s is not a suffix of videos", path, path.suffix)


def _walk(root: Path) -> Iterator[Path]:
    """Candidates below root: those of a folder by name, then those of its folders."""
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            files, folders = _contents(folder)
        except OSError as error:
            if folder == root:
                raise UsageError(f"{root} cannot be read: {error.strerror}") from None
            logger.warning("%s is left out: %s", folder, error.strerror)
            continue
        yield from files
        pending.extend(reversed(folders))


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Candidates and folders directly in `folder`, by name."""
    files: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path = folder / entry.name
            if not _is_text(entry.name):
                logger.warning("%s is left out: its name is not UTF-8", ascii(str(path)))
            elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                folders.append(path)
            elif _may_be_video(entry.name) and _is_file(entry):
                files.append(path)
    return files, folders


def _may_be_video(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    return not (
        name.startswith(".")
        or name.endswith("~")
        or suffix in NOT_VIDEOS
        or suffix.startswith(".part-")
    )


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself, or through a folder that is closed to us
        return False


def _real(path: Path | str) -> str:
    return os.path.realpath(path)


def _is_text(name: str) -> bool:
    """Whether the bytes on disk are UTF-8; other names cannot stand in a record."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


# -------------------------------------------------------------------- names and ids


def _sources(found: Sequence[tuple[str, Path]]) -> list[VideoSource]:
    return [
        VideoSource(
            creator=creator,
            video_id=video_id,
            path=str(path),
            frames_id=video_id,
            platform=read_sidecar(path),
        )
        for (creator, path), video_id in zip(found, _video_ids(found), strict=True)
    ]


def _video_ids(found: Sequence[tuple[str, Path]]) -> list[str]:
    """Stem of the file; all that share it get the whole name; then a digest of the path.

    Capitals do not tell ids apart, because they do not on every disk.
    """
    longer: list[Callable[[Path], str]] = [
        lambda path: safe_name(path.name),
        lambda path: marked_name(safe_name(path.name), of=_real(path)),
    ]
    ids = [safe_name(path.stem) for _, path in found]
    for name_of in longer:
        keys = [(creator, name.casefold()) for (creator, _), name in zip(found, ids, strict=True)]
        times = Counter(keys)
        ids = [
            name_of(path) if times[key] > 1 or _is_reserved(*key) else name
            for (_, path), key, name in zip(found, keys, ids, strict=True)
        ]
    return ids


def _is_reserved(creator: str, video_id: str) -> bool:
    """Whether an export beside the video's folder has this name."""
    own = creator.casefold()
    return video_id in {"report.md", "report.html", f"{own}.csv", f"{own}.json"}


def _joint(pair: tuple[str, str]) -> str:
    creator, video_id = pair
    return safe_name(f"{video_id}_{creator}")


def _stored(results_root: Path) -> set[tuple[str, str]]:
    """(creator, video id) of every record below the folder."""
    return {
        (path.parent.parent.name, path.parent.name) for path in results_root.glob("*/*/record.json")
    }


def _recorded(path: Path) -> str | None:
    """The frames folder that a record names, if it can be one."""
    try:
        name = json.loads(path.read_bytes())["source"]["frames_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) and safe_name(name) == name else None

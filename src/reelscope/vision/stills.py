"""The kept frames at full size, as JPEG files named by their time."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from reelscope.errors import OutputError, UnreadableMedia
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.media.pictures import read_jpeg, write_jpeg
from reelscope.records import Lane, Ok, Outcome, Similarity, Still, Stills
from reelscope.settings import Stills as StillsSettings
from reelscope.vision.keyframes import value_of

STILL_NAME = re.compile(r"-?\d{4,}\.\d{6}s\.jpg")
"""What `still_name` makes; no other file in a frames folder is ever touched."""


def still_name(time_s: float) -> str:
    """File name of the frame at this time: "00003.480000s.jpg".

    Microseconds, as times are told to the microsecond, so every frame has a name of its
    own; of one length up to 27 hours, so that names sort by time.
    """
    return f"{time_s + 0.0:012.6f}s.jpg"


def read_still(clip: Clip, time_s: float, *, jpeg_quality: int | None = None) -> RGB:
    """The full-size picture of a kept frame, from its file if that is there and whole.

    A file that was deleted, cut short or replaced by a link is made anew from the video.

    Args:
        clip: the video.
        time_s: of one of `clip.frames`.
        jpeg_quality: for a file that is made anew; None: the default of the settings.

    Returns:
        uint8 (h, w, 3) RGB, upright.

    Raises:
        UnreadableMedia: the frame is in neither the folder nor the video.
        OutputError: the file could not be written.
    """
    path = _folder(clip) / still_name(time_s)
    if _is_whole(path, clip.value(Stills), time_s):
        try:
            return read_jpeg(path)
        except OutputError:  # no JPEG any more: made anew below
            pass
    for _, image in clip.full([time_s]):
        write_jpeg(path, image, jpeg_quality or StillsSettings().jpeg_quality)
        return image
    raise UnreadableMedia(f"{clip.path.name}: the frame at {time_s:.3f} s cannot be decoded again")


def write_stills(clip: Clip, times_s: Sequence[float], *, jpeg_quality: int) -> Stills:
    """Write these frames, and remove those of earlier runs that are not among them.

    Args:
        clip: the video.
        times_s: of frames of `clip.frames`.
        jpeg_quality: 1-100.

    Raises:
        UnreadableMedia: not one of the frames can be decoded at full size.
        OutputError: a file cannot be written or removed.
    """
    folder = _folder(clip)
    frames = []
    for time_s, image in clip.full(times_s) if times_s else ():
        size_bytes = write_jpeg(folder / still_name(time_s), image, jpeg_quality)
        height, width = image.shape[:2]
        frames.append(
            Still(
                time_s=time_s,
                file=still_name(time_s),
                width=width,
                height=height,
                size_bytes=size_bytes,
            )
        )
    if times_s and not frames:
        raise UnreadableMedia(f"{clip.path.name}: no frame can be decoded at full size")
    _remove_others(folder, {frame.file for frame in frames})
    return Stills(folder=clip.source.frames_id, frames=tuple(frames))


def _folder(clip: Clip) -> Path:
    """The video's frames folder; it may not lead elsewhere.

    Raises:
        OutputError: it is a symbolic link.
    """
    folder = clip.frames_dir
    if folder.is_symlink():
        raise OutputError(f"{folder} is a link to another place; nothing is written through it")
    return folder


def _is_whole(path: Path, stills: Stills | None, time_s: float) -> bool:
    """A file of its own, and as long as the record says, if the record knows it."""
    if path.is_symlink() or not path.is_file():
        return False
    sizes = {still.time_s: still.size_bytes for still in stills.frames} if stills else {}
    size_bytes = path.stat().st_size
    return sizes.get(time_s, size_bytes) == size_bytes


def _remove_others(folder: Path, names: Collection[str]) -> None:
    """Remove stills that are not among these. A link is removed, not what it leads to."""
    if not folder.is_dir():
        return
    try:
        for path in folder.iterdir():
            ours = STILL_NAME.fullmatch(path.name) and (path.is_symlink() or path.is_file())
            if ours and path.name not in names:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: an old frame cannot be removed: {error.strerror}") from error


class StillsStage:
    """Stage `stills`: the kept frames on disk."""

    name = "stills"
    version = 1
    needs: tuple[str, ...] = ("similarity",)
    uses: tuple[str, ...] = ()
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: StillsSettings) -> None:
        self.settings = settings

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Stills` per clip."""
        return [self._one(clip) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""

    def _one(self, clip: Clip) -> Outcome:
        if skip := clip.missing_video():
            return skip
        times_s = value_of(clip, Similarity).kept_s
        return Ok(write_stills(clip, times_s, jpeg_quality=self.settings.jpeg_quality))

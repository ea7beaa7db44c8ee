"""What a fetched file is, told by its content: servers and addresses say little of it."""

from __future__ import annotations

import logging
from pathlib import Path

from reelscope.errors import UnreadableMedia
from reelscope.media.info import MediaInfo, read_info

logger = logging.getLogger(__name__)

_SUFFIX = {
    "mov,mp4,m4a,3gp,3g2,mj2": ".mp4", "matroska,webm": ".mkv", "mpegts": ".ts", "flv": ".flv",
    "avi": ".avi", "mp3": ".mp3", "ogg": ".ogg", "wav": ".wav", "flac": ".flac", "aac": ".aac",
    "asf": ".wmv", "gif": ".gif",
}  # fmt: skip
"""FFmpeg's name of the container -> suffix."""


def media_suffix(path: Path) -> str:
    """The suffix that fits the file's container, ".mp4" for example.

    Every packet is read, nothing is decoded but one picture.

    Raises:
        UnreadableMedia: no media file, or neither pictures nor sound in it.
    """
    info = read_info(path)
    if info.cut_short:
        logger.warning("%s: %s", path.name, info.cut_short)
    return suffix_of(info)


def video_suffix(path: Path) -> str:
    """As `media_suffix`, for what has to have moving pictures.

    Raises:
        UnreadableMedia: there are none.
    """
    info = read_info(path)
    if not info.has_video:
        raise UnreadableMedia("there is sound but no picture in it")
    return suffix_of(info)


def sound_suffix(path: Path) -> str:
    """As `media_suffix`, for what has to have sound.

    Raises:
        UnreadableMedia: there is none.
    """
    info = read_info(path)
    if not info.has_audio:
        raise UnreadableMedia("there is no sound in it")
    return suffix_of(info)


def suffix_of(info: MediaInfo) -> str:
    """The suffix that fits the container."""
    if info.container == "mov,mp4,m4a,3gp,3g2,mj2" and not info.has_video:
        return ".m4a"
    return _SUFFIX.get(info.container, ".media")

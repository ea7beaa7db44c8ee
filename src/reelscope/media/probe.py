"""What the file is, and whether it decodes to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from reelscope.errors import UnreadableMedia
from reelscope.media.audio import SoundCheck
from reelscope.media.clip import Clip
from reelscope.media.fingerprint import media_id
from reelscope.media.frames import Scan
from reelscope.media.info import MediaInfo
from reelscope.records import Integrity, Lane, Ok, Outcome, Probe
from reelscope.settings import Media, Section


def probe(clip: Clip) -> Probe:
    """Facts of the container and the packets, and the check that everything decodes.

    Raises:
        UnreadableMedia: it is no media file.
        MediaChanged: the file changed while it was read.
    """
    info = clip.info
    identity = media_id(clip.path, clip.record.media)
    return Probe(
        container=info.container,
        duration_s=info.duration_s,
        size_bytes=info.size_bytes,
        sha256=identity.sha256,
        bit_rate_bps=info.bit_rate_bps,
        created_at=info.created_at,
        has_video=info.has_video,
        has_audio=info.has_audio,
        width=info.width,
        height=info.height,
        rotation_deg=info.rotation_deg,
        fps=float(info.fps) if info.fps else None,
        fps_exact=f"{info.fps.numerator}/{info.fps.denominator}" if info.fps else None,
        variable_frame_rate=info.variable_frame_rate,
        video_codec=info.video_codec,
        pixel_format=info.pixel_format,
        audio_codec=info.audio_codec,
        audio_rate_hz=info.audio_rate_hz,
        audio_channels=info.audio_channels,
        integrity=integrity(clip),
    )


def integrity(clip: Clip) -> Integrity:
    """Decode both streams (or read what earlier passes found) and say how it went."""
    info = clip.info
    pictures = clip.scan() if info.video else Scan()
    sound = _sound(clip) if info.audio else SoundCheck()
    bad = pictures.bad + sound.bad
    until = [t for t in (pictures.until_s, sound.until_s) if t is not None]
    error = info.cut_short or pictures.first_error or sound.first_error
    error = error or _what_is_missing(info, pictures, sound)
    if bad and error is None:
        error = f"{bad} packets are marked as damaged"
    return Integrity(
        method=clip.settings.integrity,
        complete=error is None,
        video_packets=len(info.video.pts) if info.video else 0,
        audio_packets=len(info.audio.pts) if info.audio else 0,
        bad_packets=bad,
        decoded_until_s=max(until, default=None),
        first_error=error,
    )


def _sound(clip: Clip) -> SoundCheck:
    try:
        return clip.audio.check()
    except UnreadableMedia as error:
        return SoundCheck(bad=0, first_error=str(error))


def _what_is_missing(info: MediaInfo, pictures: Scan, sound: SoundCheck) -> str | None:
    if info.video and not pictures.decoded:
        return "no picture could be decoded"
    if info.audio and sound.until_s is None:
        return "no sound could be decoded"
    return None


class ProbeSettings(Section):
    """What of the media section the stage reads: the rest changes nothing in its value."""

    integrity: Literal["reference", "full"]


class ProbeStage:
    """Stage `probe`. It waits for `voice` so that one decode serves the highlights too."""

    name = "probe"
    version = 1
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ("voice",)
    lane: Lane = "cpu"
    batch_size = 1
    engine = "reelscope 1"

    def __init__(self, settings: Media) -> None:
        self.settings = ProbeSettings(integrity=settings.integrity)

    def open(self) -> None:
        """Nothing to load."""

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Probe` per clip."""
        return [Ok(probe(clip)) for clip in clips]

    def close(self) -> None:
        """Nothing to release."""

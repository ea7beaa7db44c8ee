"""A match in words."""

from __future__ import annotations

import math
from typing import Final

SAME_TEMPO: Final = 0.005
"""A tempo this close to the track's is its own: nobody hears half a percent."""
SAME_PITCH_SEMITONES: Final = 0.1
"""A pitch this close is the track's own; it is also as near as tempo and pitch have to move
together to be one change of speed."""


def match_line(
    name: str,
    *,
    clip: tuple[float, float],
    track: tuple[float, float],
    tempo: float,
    pitch: float,
    probability: float,
) -> str:
    """What is heard where, as a sentence without its end.

    Args:
        name: of the track.
        clip, track: start and end in each, seconds.
        tempo, pitch: as factors of the track's.
        probability: 0-1.
    """
    played = change_words(tempo, pitch)
    return (
        f"{clock(clip[0])}-{clock(clip[1])} of the clip is"
        f" {clock(track[0], tenths=True)}-{clock(track[1], tenths=True)} of {name}"
        f"{', ' + played if played else ''} (probability {percent(probability)} %)"
    )


def change_words(tempo: float, pitch: float) -> str:
    """How it is played; empty: as it is."""
    up = 12 * math.log2(pitch)
    moved, shifted = abs(tempo - 1) > SAME_TEMPO, abs(up) > SAME_PITCH_SEMITONES
    if abs(up - 12 * math.log2(tempo)) <= SAME_PITCH_SEMITONES and (moved or shifted):
        share = (tempo - 1) * 100
        return f"played {_short(abs(share))} % {'faster' if share > 0 else 'slower'}"
    words = []
    if moved:
        words.append(f"tempo {_signed((tempo - 1) * 100)} %")
    if shifted:
        words.append(f"pitch {up:+.1f} semitones")
    if len(words) == 1:
        words.append("pitch kept" if moved else "tempo kept")
    return ", ".join(words)


def clock(time_s: float, *, tenths: bool = False) -> str:
    """1:03, 1:03.4, 1:02:03."""
    ticks = round(max(time_s, 0.0) * 10) if tenths else round(max(time_s, 0.0)) * 10
    minutes, rest = divmod(ticks, 600)
    seconds = f"{rest // 10:02d}" + (f".{rest % 10}" if tenths else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def percent(share: float) -> str:
    """99.99, never 100 for what is not certain."""
    return f"{math.floor(share * 10_000) / 100:.2f}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _signed(value: float) -> str:
    return ("+" if value > 0 else "-") + _short(abs(value))

"""The sound of a file as Chromaprint hears it: one channel of 16 bits at 11,025 Hz.

The steps are those of the fpcalc program (`src/audio/ffmpeg_audio_reader.h` and
`ffmpeg_audio_processor_swresample.h` of https://github.com/acoustid/chromaprint): FFmpeg's
own choice of the sound stream, 16 bits before anything else, libswresample in the mode that
older versions had. With the same FFmpeg the samples are the same bit by bit.
"""

from __future__ import annotations

from reelscope.music.chromaprint_items import RATE_HZ
from reelscope.music.sound import Form

BLOCK = 1 << 16
"""Samples of a piece, 5.9 s."""
FORM = Form(
    RATE_HZ,
    "s16",
    BLOCK,
    {
        "resampler": "swr",
        "filter_size": "16",
        "phase_shift": "8",
        "linear_interp": "1",
        "tsf": "s16p",
        "cutoff": "0.8",
    },
)

"""The music: recognition in a video, and the music library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from reelscope.settings.base import Section


class MusicRecognition(Section):
    """Stage `music`: which track is heard. Local sources are always asked, Shazam if it is on."""

    shazam: bool = Field(
        False,
        description="Ask Shazam too (not if models.offline). A signature of up to 12 s of music leaves the machine: spectral peaks, no sound.",
    )
    ask_shazam: Literal["unnamed", "always"] = Field(
        "unnamed",
        description="unnamed: not where the platform, the library or an earlier answer names the track; always.",
    )
    windows: int = Field(
        2, ge=1, le=3, description="Windows of a video that Shazam is asked about at most."
    )
    requests_per_minute: float = Field(
        5.0, gt=0, le=600, description="To Shazam; users report that it throttles above about 5."
    )
    timeout_s: float = Field(
        30.0, ge=0.1, le=300, description="For one answer of Shazam; what hangs longer is ended."
    )
    proxy: SecretStr | None = Field(
        None, description="HTTP proxy for Shazam; null: none. http://user:password@host:port"
    )
    memory: Path | None = Field(
        None,
        description="File of the sounds recognised earlier; null: sound_memory.sqlite below paths.data.",
    )
    no_match_days: float = Field(
        14.0, ge=0, le=3650, description="So long is it remembered that Shazam knows a sound not."
    )

"""All settings together."""

from __future__ import annotations

from typing import Any

from reelscope.settings.base import Section
from reelscope.settings.description import Describe
from reelscope.settings.music import Music
from reelscope.settings.sections import (
    Caption,
    Choose,
    Crawl,
    Detect,
    Events,
    Keyframes,
    Logging,
    Media,
    Models,
    OpenAI,
    Paths,
    Processing,
    Quality,
    Separate,
    Shots,
    Similarity,
    Sounds,
    SpeechRate,
    Stills,
    Text,
    TikTok,
    Transcribe,
    Voice,
)


class Settings(Section):
    """All settings, checked. Build it with `load`."""

    paths: Paths = Paths()
    processing: Processing = Processing()
    logging: Logging = Logging()
    media: Media = Media()
    voice: Voice = Voice()
    events: Events = Events()
    separate: Separate = Separate()
    sounds: Sounds = Sounds()
    transcribe: Transcribe = Transcribe()
    speech_rate: SpeechRate = SpeechRate()
    music: Music = Music()
    keyframes: Keyframes = Keyframes()
    quality: Quality = Quality()
    similarity: Similarity = Similarity()
    stills: Stills = Stills()
    shots: Shots = Shots()
    text: Text = Text()
    detect: Detect = Detect()
    choose: Choose = Choose()
    caption: Caption = Caption()
    description: Describe = Describe()
    models: Models = Models()
    crawl: Crawl = Crawl()
    tiktok: TikTok = TikTok()
    openai: OpenAI = OpenAI()

    def public(self) -> dict[str, Any]:
        """As plain data without the secrets, for settings.yml."""
        secret: dict[str, Any] = {
            "crawl": {"proxy"},
            "music": {
                "proxy": True,
                "library": {"database"},
                "match": {"database"},
                "originals": {"database"},
                "dedupe": {"database"},
            },
            "tiktok": {"ms_token", "proxies"},
            "openai": {"api_key"},
        }
        return self.model_dump(mode="json", exclude=secret)

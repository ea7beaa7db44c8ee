"""Every setting: `config/config.yml`, then the environment, then the call's flags.

`config/config.yml` holds each key with its default and a comment; a test keeps the two
together.
"""

from reelscope.settings.all import Settings
from reelscope.settings.base import Positive, Section, Unit
from reelscope.settings.description import AnswerField, Describe, Dimension, FieldType, Price
from reelscope.settings.loading import DEFAULT_CONFIG, FAMILIAR_NAMES, PREFIX, load
from reelscope.settings.music import Music, MusicMatch, MusicRecognition
from reelscope.settings.sections import (
    Caption,
    Choose,
    Crawl,
    Detect,
    Detector,
    Embedder,
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
    Whisper,
)

__all__ = [
    "DEFAULT_CONFIG",
    "FAMILIAR_NAMES",
    "PREFIX",
    "AnswerField",
    "Caption",
    "Choose",
    "Crawl",
    "Describe",
    "Detect",
    "Detector",
    "Dimension",
    "Embedder",
    "Events",
    "FieldType",
    "Keyframes",
    "Logging",
    "Media",
    "Models",
    "Music",
    "MusicMatch",
    "MusicRecognition",
    "OpenAI",
    "Paths",
    "Positive",
    "Price",
    "Processing",
    "Quality",
    "Section",
    "Separate",
    "Settings",
    "Shots",
    "Similarity",
    "Sounds",
    "SpeechRate",
    "Stills",
    "Text",
    "TikTok",
    "Transcribe",
    "Unit",
    "Voice",
    "Whisper",
    "load",
]

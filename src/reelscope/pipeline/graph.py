"""Which stages run, in what order, with which engine: the one place that wires them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.errors import UsageError
from reelscope.pipeline.stage import Stage
from reelscope.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from reelscope.audio.recognition import MusicStage
    from reelscope.audio.transcribe import Transcriber
    from reelscope.description.describe import DescribeStage
    from reelscope.vision.detect import Detector


class Graph:
    """Stages in an order in which each stands after all that it waits for."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        by_name = {stage.name: stage for stage in stages}
        if len(by_name) != len(stages):
            raise ValueError("two stages have the same name")
        waits = {s.name: {n for n in waits_for(s) if n in by_name} for s in stages}
        try:
            order = _stable_order(waits, list(by_name))
        except CycleError as error:
            raise ValueError(f"stages wait for one another in a circle: {error.args[1]}") from None
        self.stages: tuple[Stage, ...] = tuple(by_name[name] for name in order)
        self.names: tuple[str, ...] = tuple(order)
        self._by_name = by_name

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Stage:
        return self._by_name[name]

    def select(self, *, only: Collection[str] = (), skip: Collection[str] = ()) -> frozenset[str]:
        """The names of the stages that a call asks for.

        Args:
            only: these, and what they need; empty means all.
            skip: not these; what needs them is skipped with that cause, unless an
                earlier run left a value that still holds.

        Raises:
            UsageError: a name that is no stage, or nothing is left.
        """
        for name in (*only, *skip):
            if name not in self:
                raise UsageError(f"no stage is called {name!r}; there are: {', '.join(self.names)}")
        wanted = set(only) or set(self.names)
        for stage in reversed(self.stages):
            if stage.name in wanted:
                wanted.update(name for name in stage.needs if name in self)
        wanted -= set(skip)
        if not wanted:
            raise UsageError("--only and --skip leave no stage to run")
        return frozenset(wanted)


def waits_for(stage: Stage) -> tuple[str, ...]:
    """Every stage whose end this one waits for."""
    return stage.needs + stage.uses


def _stable_order(waits: dict[str, set[str]], listed: list[str]) -> list[str]:
    """Topological, and otherwise as listed, so that runs and tables look alike."""
    sorter = TopologicalSorter(waits)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=listed.index)
        order += ready
        sorter.done(*ready)
    return order


def build_graph(settings: Settings, *, batch_folder: Path | None = None) -> Graph:
    """All stages of this version with their engines; nothing heavy is loaded yet.

    Args:
        settings: of the call.
        batch_folder: where requests wait that go to a server's batches; None: no request is
            handed to one.

    Raises:
        ConfigError: a file that a setting names cannot be used.
    """
    from reelscope.media.probe import ProbeStage
    from reelscope.pipeline.platform import PlatformStage

    store, pool = WeightStore(settings.paths.models), ModelPool(settings.models.memory_gb)
    return Graph(
        [
            PlatformStage(),
            ProbeStage(settings.media),
            *_sound_stages(settings, store, pool),
            *_picture_stages(settings, store, pool),
            _description(settings, batch_folder),
        ]
    )


def _sound_stages(settings: Settings, store: WeightStore, pool: ModelPool) -> list[Stage]:
    """What is heard."""
    from reelscope.audio.events import EventsStage
    from reelscope.audio.separate import SeparateStage
    from reelscope.audio.sounds import SoundsStage
    from reelscope.audio.speech_rate import SpeechRateStage
    from reelscope.audio.transcribe import TranscribeStage
    from reelscope.audio.voice import VoiceStage
    from reelscope.engines.audio_spectrogram import SpectrogramTagger
    from reelscope.engines.demucs import DemucsSeparator
    from reelscope.engines.silero import SileroDetector

    batch = settings.processing.batch_size
    transcriber = _transcriber(settings, store, pool)
    return [
        VoiceStage(settings.voice, SileroDetector()),
        EventsStage(settings.events),
        SeparateStage(settings.separate, DemucsSeparator(store, pool), batch_size=batch),
        SoundsStage(settings.sounds, SpectrogramTagger(store, pool), batch_size=batch),
        TranscribeStage(settings.transcribe, transcriber, batch_size=batch),
        SpeechRateStage(settings.speech_rate),
        _music(settings),
    ]


def _picture_stages(settings: Settings, store: WeightStore, pool: ModelPool) -> list[Stage]:
    """What is seen."""
    from reelscope.engines.blip import BlipCaptioner
    from reelscope.engines.open_clip import OpenClipEmbedder
    from reelscope.engines.rapidocr import RapidOcrReader
    from reelscope.vision.caption import CaptionStage
    from reelscope.vision.choose import ChooseStage
    from reelscope.vision.detect import DetectStage
    from reelscope.vision.embed import EmbedStage
    from reelscope.vision.keyframes import KeyframesStage
    from reelscope.vision.quality import QualityStage
    from reelscope.vision.shots import ShotsStage
    from reelscope.vision.similarity import SimilarityStage
    from reelscope.vision.stills import StillsStage
    from reelscope.vision.text import TextStage
    from reelscope.vision.vocabulary import load_vocabulary

    batch = settings.processing.batch_size
    words = load_vocabulary(settings.paths.vocabulary)
    detector = _detector(settings, store, pool)
    embedder = OpenClipEmbedder(settings.models.embedder.model, store, pool)
    return [
        KeyframesStage(settings.keyframes, media=settings.media),
        QualityStage(settings.quality),
        SimilarityStage(settings.similarity),
        StillsStage(settings.stills),
        ShotsStage(settings.shots),
        TextStage(settings.text, RapidOcrReader()),
        DetectStage(settings.detect, words.objects, detector, batch_size=batch),
        EmbedStage(words, embedder, batch_size=batch),
        ChooseStage(settings.choose),
        CaptionStage(settings.caption, BlipCaptioner(store, pool), batch_size=batch),
    ]


def _description(settings: Settings, batch_folder: Path | None) -> DescribeStage:
    """The description, with a queue where it is to wait for a server's batches."""
    from reelscope.description.describe import DescribeStage
    from reelscope.description.prompt import load_prompts
    from reelscope.description.queue import BatchQueue
    from reelscope.engines.openai_chat import OpenAiChat

    asked = settings.description
    chat = OpenAiChat(asked, settings.openai.api_key)
    queue = BatchQueue(batch_folder, chat) if batch_folder and asked.mode == "batch" else None
    return DescribeStage(asked, chat, load_prompts(settings.paths.prompts), queue=queue)


def _music(settings: Settings) -> MusicStage:
    """Music recognition; Shazam is left out where a setting says so, and the answer why.

    The user's library is asked where there is one.
    """
    from reelscope.audio.recognition import Asked, MusicStage
    from reelscope.audio.sound_memory import SoundMemory
    from reelscope.engines.shazam import Shazam
    from reelscope.pipeline.track_library import users_library

    chosen = settings.music
    why_not = None if chosen.shazam else "music.shazam is off (music.shazam: true turns it on)"
    if chosen.shazam and settings.models.offline:
        why_not = "offline (models.offline)"
    shazam = Shazam(
        requests_per_minute=chosen.requests_per_minute,
        timeout_s=chosen.timeout_s,
        proxy=chosen.proxy.get_secret_value() if chosen.proxy else None,
    )
    return MusicStage(
        Asked(
            shazam=why_not is None and shazam.absent is None,
            ask_shazam=chosen.ask_shazam,
            windows=chosen.windows,
        ),
        SoundMemory(
            chosen.memory or settings.paths.data / "sound_memory.sqlite",
            no_match_days=chosen.no_match_days,
        ),
        None if why_not else shazam,
        why_not=why_not,
        library=users_library(settings),
    )


def _transcriber(settings: Settings, store: WeightStore, pool: ModelPool) -> Transcriber:
    """The engine that `models.whisper.engine` names."""
    from reelscope.engines.auto_transcriber import AutoTranscriber
    from reelscope.engines.faster_whisper import FasterWhisper
    from reelscope.engines.openai_whisper import OpenAiWhisper
    from reelscope.engines.pocketsphinx import PocketSphinxTranscriber

    chosen = settings.models.whisper
    engines: dict[str, Transcriber] = {
        "faster-whisper": FasterWhisper(chosen.size, store, pool, compute_type=chosen.compute_type),
        "openai-whisper": OpenAiWhisper(chosen.size, store, pool),
        "pocketsphinx": PocketSphinxTranscriber(),
    }
    if chosen.engine != "auto":
        return engines[chosen.engine]
    return AutoTranscriber(store, tuple(engines.values()), language=settings.transcribe.language)


def _detector(settings: Settings, store: WeightStore, pool: ModelPool) -> Detector:
    """The engine that `models.detector.engine` names."""
    from reelscope.engines.owlv2 import Owlv2Detector
    from reelscope.engines.yolo_world import YoloWorldDetector

    if settings.models.detector.engine == "owlv2":
        return Owlv2Detector(store, pool)
    return YoloWorldDetector(settings.models.detector.size, store, pool)

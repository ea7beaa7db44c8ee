"""`models.whisper.engine: auto`: the first engine whose weights and package are here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from reelscope.audio.transcribe import Heard, Sound, Transcriber
from reelscope.engines.weights import WeightStore, entry, installed


class AutoTranscriber:
    """Hands on to the first of some engines that can work on this machine.

    Args:
        store: where the weights are.
        engines: in the order of preference; the first one is taken if none can work, so
            it is the one that says what is missing.
        language: that the engine must know; None: any.
    """

    def __init__(
        self, store: WeightStore, engines: Sequence[Transcriber], *, language: str | None = None
    ) -> None:
        self._store = store
        self._engines = tuple(engines)
        self._language = language
        self._opened: Transcriber | None = None

    @property
    def chosen(self) -> Transcriber:
        """The engine that works: the same one from `open` to `close`."""
        if self._opened is not None:
            return self._opened
        ready = (engine for engine in self._engines if self._ready(engine))
        return next(ready, self._engines[0])

    @property
    def engine(self) -> str:
        """The chosen one's."""
        return self.chosen.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """The chosen one's; where that is a last resort, led by those to fetch instead."""
        chosen = self.chosen
        return chosen.weights if chosen.accuracy == "normal" else self._better + chosen.weights

    @property
    def accuracy(self) -> Literal["normal", "low"]:
        """The chosen one's."""
        return self.chosen.accuracy

    @property
    def languages(self) -> tuple[str, ...]:
        """Of all engines."""
        return tuple(dict.fromkeys(code for one in self._engines for code in one.languages))

    def open(self) -> None:
        """Load the chosen one; raises EngineUnavailable with its remedy."""
        chosen = self.chosen
        chosen.open()
        self._opened = chosen

    def transcribe(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What the chosen one hears."""
        return self.chosen.transcribe(sounds)

    def close(self) -> None:
        """Let go of the chosen one."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _better(self) -> tuple[str, ...]:
        return next((e.weights for e in self._engines if e.accuracy == "normal"), ())

    def _ready(self, engine: Transcriber) -> bool:
        if self._language is not None and self._language not in engine.languages:
            return False
        return all(
            self._store.state(name) == "present" and installed(entry(name).package)
            for name in engine.weights
        )

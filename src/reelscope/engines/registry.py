"""Every set of weights that an engine reads: where it comes from and under which licence.

Names, addresses and checksums are the vendors' own; a test compares them with the
constants that the vendors' packages carry. A set lives in one folder, `models/<name>/`,
whether it comes from the Hugging Face hub, from a file server or by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal[
    "voice", "text", "transcribe", "separate", "sounds", "detect", "embed", "caption"
]


@dataclass(frozen=True)
class HubFiles:
    """Files of a repository on the Hugging Face hub.

    Attributes:
        repo: "owner/name".
        patterns: names of the files, or patterns of which each must match at least one.
        revision: branch, tag or commit. The commit that a branch stood for is noted when it
            is fetched, and stands in the records from then on.
    """

    repo: str
    patterns: tuple[str, ...]
    revision: str = "main"


@dataclass(frozen=True)
class UrlFile:
    """A single file on a server.

    Attributes:
        url: where it is.
        sha256: of its content, or the first characters of it; None: the vendor names none.
    """

    url: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Name of the file in the folder of its set."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class InPackage:
    """Weights that a PyPI package carries: there as soon as it is installed."""


Source: TypeAlias = HubFiles | UrlFile | InPackage


@dataclass(frozen=True)
class Weights:
    """A set of weights.

    Attributes:
        name: of the folder, and what `models pull` takes.
        role: the stage that it serves.
        package: PyPI name of what reads it.
        source: where it comes from.
        size_mb: of the download, about.
        licence: of the weights (and of the package where that is stricter).
        extra: the extra of reelscope that installs the package; None: always installed.
    """

    name: str
    role: Role
    package: str
    source: Source
    size_mb: int
    licence: str
    extra: str | None = "neural"


WHISPER_SIZES_MB = {
    "tiny": 76, "tiny.en": 76, "base": 145, "base.en": 145, "small": 484, "small.en": 484,
    "medium": 1528, "medium.en": 1528, "large-v1": 3087, "large-v2": 3087, "large-v3": 3087,
    "large-v3-turbo": 1618,
}  # fmt: skip
"""Both engines' files hold the same numbers, two bytes each."""

_OPENAI = "https://openaipublic.azureedge.net/main/whisper/models"
_WHISPER_SHA256 = {
    "tiny.en": "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03",
    "tiny": "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",
    "base.en": "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead",
    "base": "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e",
    "small.en": "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872",
    "small": "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794",
    "medium.en": "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f",
    "medium": "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1",
    "large-v1": "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a",
    "large-v2": "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524",
    "large-v3": "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb",
    "large-v3-turbo": "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a",
}
_FASTER_OWNER = {"large-v3-turbo": "mobiuslabsgmbh"}


def _whisper() -> list[Weights]:
    faster = [
        Weights(
            f"faster-whisper-{size}",
            "transcribe",
            "faster-whisper",
            HubFiles(
                f"{_FASTER_OWNER.get(size, 'Systran')}/faster-whisper-{size}",
                ("config.json", "model.bin", "tokenizer.json", "vocabulary.*"),
            ),
            size_mb,
            "MIT",
        )
        for size, size_mb in WHISPER_SIZES_MB.items()
    ]
    openai = [
        Weights(
            f"openai-whisper-{size}",
            "transcribe",
            "openai-whisper",
            UrlFile(f"{_OPENAI}/{_WHISPER_SHA256[size]}/{size}.pt", _WHISPER_SHA256[size]),
            size_mb,
            "MIT",
        )
        for size, size_mb in WHISPER_SIZES_MB.items()
    ]
    return faster + openai


def _yolo_world() -> list[Weights]:
    release = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
    return [
        Weights(
            f"yolo-world-{size}",
            "detect",
            "ultralytics",
            UrlFile(f"{release}/yolov8{size}-worldv2.pt"),
            size_mb,
            "AGPL-3.0",
            "yolo",
        )
        for size, size_mb in {"s": 26, "m": 57, "l": 92, "x": 141}.items()
    ]


def _clip(name: str, repo: str, size_mb: int) -> Weights:
    files = ("open_clip_config.json", "open_clip_model.safetensors")
    return Weights(name, "embed", "open-clip-torch", HubFiles(repo, files), size_mb, "MIT")


_PROCESSOR = ("config.json", "model.safetensors", "preprocessor_config.json")
_BPE = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")

REGISTRY: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights("silero-vad", "voice", "silero-vad", InPackage(), 2, "MIT", None),
        Weights("pp-ocr-v6-small", "text", "rapidocr", InPackage(), 30, "Apache-2.0", None),
        Weights(
            "pocketsphinx-en-us",
            "transcribe",
            "pocketsphinx",
            InPackage(),
            38,
            "BSD-2-Clause",
            None,
        ),
        *_whisper(),
        Weights(
            "htdemucs",
            "separate",
            "demucs",
            HubFiles("adefossez/HTDemucs", ("htdemucs.yaml", "955717e8.safetensors")),
            84,
            "MIT",
        ),
        Weights(
            "ast-audioset",
            "sounds",
            "transformers",
            HubFiles("MIT/ast-finetuned-audioset-10-10-0.4593", _PROCESSOR),
            346,
            "BSD-3-Clause",
        ),
        *_yolo_world(),
        Weights(
            "owlv2-base",
            "detect",
            "transformers",
            HubFiles("google/owlv2-base-patch16-ensemble", (*_PROCESSOR, *_BPE)),
            620,
            "Apache-2.0",
        ),
        _clip("clip-ViT-B-32", "timm/vit_base_patch32_clip_224.openai", 605),
        _clip("clip-ViT-L-14", "timm/vit_large_patch14_clip_224.openai", 1711),
        Weights(
            "blip-base",
            "caption",
            "transformers",
            HubFiles(
                "Salesforce/blip-image-captioning-base",
                (*_PROCESSOR, "tokenizer.json", "tokenizer_config.json", "vocab.txt"),
            ),
            990,
            "BSD-3-Clause",
        ),
    )
}
"""Name -> weights."""

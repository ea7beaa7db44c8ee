"""`python main.py doctor`: what this machine has and lacks, with a remedy for each."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from reelscope import settings as settings_module
from reelscope.cli.terminal import console, printable
from reelscope.engines.device import CPU, Devices, find
from reelscope.engines.weights import WeightStore, remedy
from reelscope.errors import ConfigError, EngineUnavailable
from reelscope.pipeline.stage import ReadsWeights, Spends, Stage
from reelscope.settings import Settings

LOW_DISK_GB = 5.0
NEEDED_DECODERS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "aac", "mp3", "opus", "vorbis")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    `missing` means that something does not work without it; `optional` that a later
    stage or another speed would need it.
    """

    what: str
    state: Literal["ok", "optional", "missing"]
    found: str
    remedy: str = ""


def report(config: Path | None) -> int:
    """Print every check. Returns 1 if something needed is missing, else 0."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "what", "found", "remedy"):
        table.add_column(column)
    missing = 0
    for check in checks(config):
        missing += check.state == "missing"
        table.add_row(check.state, check.what, printable(check.found), check.remedy)
    console.print(table)
    console.print(f"{missing} missing" if missing else "everything that is needed is here")
    return 1 if missing else 0


def checks(config: Path | None) -> Iterator[Check]:
    """Everything that is looked at, in order."""
    yield _python()
    yield from _packages()
    yield _decoders()
    settings = Settings()
    try:
        settings = settings_module.load(config)
        yield Check("config", "ok", str(config or settings_module.DEFAULT_CONFIG))
    except ConfigError as error:
        yield Check("config", "missing", str(error), "correct the named keys")
    yield from _engines(settings)
    yield _gpu(settings)
    yield _token("Hugging Face token", os.environ.get("HF_TOKEN"), "HF_TOKEN", "gated weights")
    yield _token("TikTok ms_token", settings.tiktok.ms_token, "TIKTOK_MS_TOKEN", "the crawl")
    yield _token("OpenAI key", settings.openai.api_key, "OPENAI_API_KEY", "the description")
    yield _description(settings)
    for folder in (settings.paths.data, settings.paths.models, settings.paths.logs):
        yield _folder(folder)
    yield _disk(settings.paths.data)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    found += f", {os.cpu_count()} cores"
    return Check("Python", "ok", found)  # pip and uv refuse to install on an older one


def _packages() -> Iterator[Check]:
    """The package's own list of requirements, each looked up."""
    remedy = "make run, or pip install --no-deps -r requirements.txt"
    try:
        required = importlib.metadata.requires("reelscope") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("packages", "missing", "reelscope itself is not installed", remedy)
        return
    found = []
    for requirement in required:
        name = re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]
        optional = "extra ==" in requirement
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            state: Literal["optional", "missing"] = "optional" if optional else "missing"
            yield Check(f"package {name}", state, "not installed", remedy)
    yield Check("packages", "ok", ", ".join(found))


def _decoders() -> Check:
    import av

    absent = [name for name in NEEDED_DECODERS if not _has_decoder(av.codec.Codec, name)]
    versions = av.library_versions
    found = "FFmpeg libraries " + ".".join(str(n) for n in versions["libavcodec"])
    if absent:
        return Check("decoders", "missing", f"{found}; no {', '.join(absent)}", "reinstall av")
    return Check("decoders", "ok", found + ": " + ", ".join(NEEDED_DECODERS))


def _has_decoder(codec: Callable[..., object], name: str) -> bool:
    try:
        codec(name, "r")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def _engines(settings: Settings) -> Iterator[Check]:
    """Every engine is really opened; one that lacks fetched weights is optional."""
    from reelscope.pipeline.graph import build_graph

    opened, store = [], WeightStore(settings.paths.models)
    with Devices(settings.models.device).hold():
        for stage in build_graph(settings):
            try:
                stage.open()
            except EngineUnavailable as error:
                what = f"engine of {stage.name}"
                unasked = isinstance(stage, Spends) and not settings.description.enabled
                optional = isinstance(stage, ReadsWeights) or unasked
                state: Literal["optional", "missing"] = "optional" if optional else "missing"
                yield Check(what, state, error.reason, error.remedy)
            else:
                stage.close()
                opened.append(f"{stage.name}: {stage.engine}")
                yield from _better(stage, store)
    yield Check("engines and weights", "ok", "; ".join(opened))


def _better(stage: Stage, store: WeightStore) -> Iterator[Check]:
    """Weights that a stage would rather read than what it makes do with."""
    if not isinstance(stage, ReadsWeights):
        return
    lacking = [name for name in stage.weights if store.state(name) != "present"]
    if lacking:
        found = f"{stage.engine} makes do without {', '.join(lacking)}"
        yield Check(f"engine of {stage.name}", "optional", found, remedy(" ".join(lacking)))


def _gpu(settings: Settings) -> Check:
    """The devices that models would run on."""
    try:
        names = find(settings.models.device)
    except ConfigError as error:
        return Check("GPU", "missing", str(error), "models.device: auto")
    if names == [CPU]:
        why = "models.device: cpu" if settings.models.device == CPU else "no CUDA device"
        return Check("GPU", "optional", why, "models run on the processor; see docs/performance.md")
    import torch

    described = [
        f"{name}: {torch.cuda.get_device_name(name)}, "
        f"{torch.cuda.get_device_properties(name).total_memory / 1e9:.0f} GB"
        for name in names
    ]
    return Check("GPU", "ok", "; ".join(described))


def _token(what: str, value: object, name: str, purpose: str) -> Check:
    if value:
        return Check(what, "ok", "set")
    return Check(what, "optional", "not set", f"{purpose} would need it: export {name}=...")


def _description(settings: Settings) -> Check:
    """Whether it is turned on: it costs money, so nobody gets it unasked."""
    if settings.description.enabled:
        return Check("description", "ok", f"on, by {settings.description.model}")
    return Check("description", "optional", "off", "--describe, or description.enabled: true")


def _folder(folder: Path) -> Check:
    """Whether it can be written, without writing."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if os.access(place, os.W_OK) and place.is_dir():
        return Check(f"folder {folder}", "ok", "can be written")
    return Check(f"folder {folder}", "missing", f"{place} cannot be written", "change paths.*")


def _disk(folder: Path) -> Check:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free_gb = shutil.disk_usage(place).free / 1e9
    found = f"{free_gb:.1f} GB free for {folder}"
    if free_gb < LOW_DISK_GB:
        return Check("disk", "missing", found, f"free at least {LOW_DISK_GB:g} GB")
    return Check("disk", "ok", found)

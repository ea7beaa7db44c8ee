"""`python main.py models`: which weights there are, fetching them, checking them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from reelscope import settings as settings_module
from reelscope.cli.fetching import open_fetching
from reelscope.cli.terminal import console
from reelscope.engines.download import Downloader
from reelscope.engines.registry import REGISTRY, HubFiles, InPackage, UrlFile, Weights
from reelscope.engines.weights import WeightStore, entry, installed, remedy
from reelscope.errors import UsageError
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.provision import fetch, wanted_by


def show(config: Path | None) -> int:
    """Print every set of weights. Returns the exit code."""
    settings = settings_module.load(config)
    store, wanted = WeightStore(settings.paths.models), wanted_by(build_graph(settings))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("role", "name", "revision", "MB", "licence", "here", "needed by"):
        table.add_column(column, justify="right" if column == "MB" else "left", no_wrap=True)
    for weights in REGISTRY.values():
        table.add_row(
            weights.role,
            weights.name,
            _revision(weights, store),
            str(weights.size_mb),
            weights.licence,
            _here(weights, store),
            ", ".join(wanted.get(weights.name, _packaged_for(weights))),
        )
    console.print(table)
    console.print(
        f"Weights live in {settings.paths.models}. `needed by` is what today's settings read.\n"
        "licence AGPL-3.0: ultralytics and its weights; who offers a service with them has to "
        "open its source. The alternative is models.detector.engine: owlv2."
    )
    return 0


def pull(names: Sequence[str], config: Path | None, *, everything: bool, force: bool) -> int:
    """Fetch sets of weights: these, all, or those that today's settings need."""
    settings = settings_module.load(config)
    store = WeightStore(settings.paths.models)
    if settings.models.offline:
        raise UsageError("models.offline is set, so nothing is fetched; set it to false")
    for name in names:
        if isinstance(entry(name).source, InPackage):
            raise UsageError(f"{name} comes inside the package {entry(name).package}: install that")
    listed = list(dict.fromkeys(names)) or [
        name
        for name in (REGISTRY if everything else wanted_by(build_graph(settings)))
        if not isinstance(entry(name).source, InPackage)
    ]
    downloader, failed = Downloader(store, settings.models.hub), []
    with open_fetching() as fetching:
        for name in listed:
            if store.state(name) == "present" and not force:
                fetching.notice(f"{name} is here")
            elif not fetch(downloader, name, fetching, force=force):
                failed.append(name)
    console.print(f"{len(listed) - len(failed)} of {len(listed)} sets of weights are here")
    return 1 if failed else 0


def verify(config: Path | None) -> int:
    """Read every file that is here and compare it with its checksum."""
    store = WeightStore(settings_module.load(config).paths.models)
    damaged = 0
    for weights in REGISTRY.values():
        if isinstance(weights.source, InPackage) or store.state(weights.name) == "absent":
            continue
        wrong = store.damaged_files(weights.name)
        damaged += bool(wrong)
        if wrong:
            how = remedy(weights.name, force=True)
            console.print(f"{weights.name}: damaged or missing: {', '.join(wrong)} -> {how}")
        elif store.manifest(weights.name) is None:
            console.print(f"{weights.name}: complete, put there by hand: no checksums to compare")
        else:
            console.print(f"{weights.name}: as fetched, revision {store.revision(weights.name)}")
    console.print(f"{damaged} damaged" if damaged else "nothing is damaged")
    return 1 if damaged else 0


def _revision(weights: Weights, store: WeightStore) -> str:
    found = store.revision(weights.name)
    if found != "absent":
        return found
    source = weights.source
    if isinstance(source, UrlFile):
        return source.sha256[:12] if source.sha256 else source.url.split("/")[-2]
    return source.revision if isinstance(source, HubFiles) else "-"


def _here(weights: Weights, store: WeightStore) -> str:
    if not installed(weights.package):
        return f"no package ({weights.extra or weights.package})"
    state = store.state(weights.name)
    packaged = isinstance(weights.source, InPackage)
    return {"present": "in package" if packaged else "yes", "absent": "no"}.get(state, state)


def _packaged_for(weights: Weights) -> list[str]:
    """A package's own weights serve their role whenever it is installed."""
    packaged = isinstance(weights.source, InPackage) and weights.role != "transcribe"
    return [weights.role] if packaged else []

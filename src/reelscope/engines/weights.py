"""Weights on this machine: where they are, whether they are whole, and what to do if not.

Every set of `registry.REGISTRY` has a folder `models/<name>/`. What `models pull` fetched
has a manifest beside it that says which revision it is and the checksum of every file;
files that were put there by hand count as present too, as an unknown revision. Engines
get the path of a folder and read nothing else: no package downloads anything by itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError

from reelscope.atomic import write_atomic
from reelscope.engines.registry import REGISTRY, HubFiles, InPackage, UrlFile, Weights
from reelscope.errors import EngineUnavailable, ReelscopeError, UsageError
from reelscope.records import Frozen

log = logging.getLogger(__name__)
MANIFEST_NAME = "reelscope-manifest.json"
BLOCK = 1 << 20

State: TypeAlias = Literal["present", "incomplete", "absent"]


class FileSum(Frozen):
    """A file as it was fetched."""

    sha256: str = Field(description="Of its content, hexadecimal.")
    size_bytes: int = Field(description="Of the file.")


class Manifest(Frozen):
    """What was fetched."""

    source: str = Field(description="Repository or address.")
    revision: str = Field(description="Commit of the hub, or the start of the file's sha256.")
    files: dict[str, FileSum] = Field(description="By name.")


class WeightStore:
    """The folder of weights, `paths.models`.

    Args:
        root: the folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """Where a set lives."""
        return self.root / entry(name).name

    def manifest(self, name: str) -> Manifest | None:
        """What `models pull` noted, if it fetched this set and the note is readable."""
        try:
            text = (self.folder(name) / MANIFEST_NAME).read_text(encoding="utf-8")
            return Manifest.model_validate_json(text)
        except (OSError, UnicodeDecodeError, ValidationError):
            return None

    def state(self, name: str) -> State:
        """Whether every file is there and as long as it was when it was fetched."""
        weights = entry(name)
        if isinstance(weights.source, InPackage):
            return "present" if installed(weights.package) else "absent"
        folder = self.folder(name)
        if not folder.is_dir():
            return "absent"
        names = [path.name for path in folder.iterdir() if path.is_file()]
        found = [any(fnmatch(n, wanted) for n in names) for wanted in wanted_files(weights)]
        if not any(found):
            return "absent"
        manifest = self.manifest(name)
        sums = manifest.files if manifest else {}
        sized = all(
            file in names and (folder / file).stat().st_size == known.size_bytes
            for file, known in sums.items()
        )
        return "present" if all(found) and sized else "incomplete"

    def revision(self, name: str) -> str:
        """Which weights these are, for the records: they are part of a stage's key."""
        weights = entry(name)
        if isinstance(weights.source, InPackage):
            return installed(weights.package) or "absent"
        manifest = self.manifest(name)
        if manifest:
            return manifest.revision[:12]
        return "by hand" if self.state(name) == "present" else "absent"

    def locate(self, name: str) -> Path:
        """The folder of a set that is whole.

        Raises:
            EngineUnavailable: it is not here, or not all of it.
        """
        state = self.state(name)
        if state == "present":
            return self.folder(name)
        what = "are not on this machine" if state == "absent" else "are not complete"
        raise EngineUnavailable(f"the weights {name} {what}", remedy=remedy(name))

    def require(self, names: Sequence[str]) -> None:
        """All of these sets must be whole.

        Raises:
            EngineUnavailable: with a remedy that brings every one that is not.
        """
        lacking = [name for name in names if self.state(name) != "present"]
        if len(lacking) == 1:
            self.locate(lacking[0])
        if lacking:
            listed = " and ".join(lacking)
            raise EngineUnavailable(
                f"the weights {listed} are not on this machine", remedy=remedy(" ".join(lacking))
            )

    def damaged_files(self, name: str) -> list[str]:
        """Files that are missing or are not what was fetched; reads every byte.

        A set that was put there by hand has no checksums: only missing files are told.
        """
        weights, folder = entry(name), self.folder(name)
        if isinstance(weights.source, InPackage):
            return []
        present = {path.name for path in folder.glob("*") if path.is_file()}
        manifest = self.manifest(name)
        if manifest:
            return [
                file
                for file, known in manifest.files.items()
                if file not in present or sha256_of(folder / file) != known.sha256
            ]
        return [w for w in wanted_files(weights) if not any(fnmatch(n, w) for n in present)]

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """The folder of a set, for a vendor's loader.

        Raises:
            EngineUnavailable: the set is not here, the loader cannot make sense of it, or it
                lacks a package (which says nothing about the files).
        """
        folder = self.locate(name)
        try:
            with importing(entry(name).package, extra=entry(name).extra):
                yield folder
        except Exception as error:
            if isinstance(error, ReelscopeError) or is_out_of_memory(error):
                raise
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: Exception) -> EngineUnavailable:
        """Vendors' loaders raise all sorts of things on a file that is cut short."""
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        damaged = self.damaged_files(name)
        where = self.folder(name) / (damaged[0] if damaged else "")
        what = "is damaged" if damaged else "cannot be read"
        log.warning("%s %s", where, what, exc_info=error)
        return EngineUnavailable(
            f"the weights {name}: {where} {what} ({cause})", remedy=remedy(name, force=True)
        )


def entry(name: str) -> Weights:
    """The registry's entry.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in REGISTRY:
        raise UsageError(f"no weights are called {name!r}; there are: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def wanted_files(weights: Weights) -> tuple[str, ...]:
    """Names, or patterns, of the files that the set needs."""
    source = weights.source
    if isinstance(source, HubFiles):
        return source.patterns
    return (source.name,) if isinstance(source, UrlFile) else ()


def remedy(name: str, *, force: bool = False) -> str:
    """The command that brings a set."""
    return f"python main.py models pull {name}" + (" --force" if force else "")


def installed(package: str) -> str | None:
    """Version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def require(package: str, *, extra: str | None = "neural") -> str:
    """The version of a package that an engine cannot do without.

    Raises:
        EngineUnavailable: it is not installed.
    """
    found = installed(package)
    if found is None:
        raise EngineUnavailable(f"the package {package} is not installed", remedy=_install(extra))
    return found


@contextmanager
def importing(package: str, *, extra: str | None = "neural") -> Iterator[None]:
    """For importing a package that is installed; what it imports itself may not be.

    Raises:
        EngineUnavailable: it does not import.
    """
    try:
        yield
    except ImportError as error:
        cause = " ".join(str(error).split())[:200]
        raise EngineUnavailable(
            f"the package {package} does not import: {cause}", remedy=_install(extra)
        ) from error


def _install(extra: str | None) -> str:
    return f'pip install "reelscope[{extra}]"' if extra else "pip install -r requirements.txt"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left for this.

    torch.OutOfMemoryError, CTranslate2's and cuBLAS' RuntimeError, and torch's allocator
    of the processor say it in words; there is no common class.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    words = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
    return isinstance(error, RuntimeError) and any(word in text for word in words)


def sha256_of(path: Path) -> str:
    """Of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Note what was fetched; the last step of a pull."""
    text = json.dumps(manifest.model_dump(), indent=2, sort_keys=True)
    write_atomic(folder / MANIFEST_NAME, text + "\n")

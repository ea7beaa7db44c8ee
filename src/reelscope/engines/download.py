"""Fetches weights: goes on where it was cut off, checks what came, and only then names it.

Files of the Hugging Face hub are taken at the commit that the wanted revision stands for
at that moment; the hub tells a sha256 of large files and git's own blob hash of small
ones (https://huggingface.co/docs/hub/api). A file of another server is checked against
the sha256 that its vendor publishes, where there is one.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, urlsplit

from reelscope.engines.registry import HubFiles, InPackage, UrlFile
from reelscope.engines.weights import (
    BLOCK,
    FileSum,
    Manifest,
    WeightStore,
    entry,
    sha256_of,
    write_manifest,
)
from reelscope.errors import DownloadFailed, OutputError

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

ANSWER_S = 5.0
"""A server that has not answered by then counts as not there."""
READ_S = 30.0
"""Longest silence within a download."""
ATTEMPTS = 5
"""A download that breaks off is taken up again so often, after 1, 2, 4 and 8 s."""

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are here, and all bytes if that is known."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the server describes it."""

    name: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None
    blob_sha1: str | None = None

    @property
    def part_name(self) -> str:
        """Of the unfinished file; another version of the file has another."""
        tag = hashlib.sha256(repr((self.url, self.sha256, self.blob_sha1)).encode()).hexdigest()
        return f".{self.name}.{tag[:12]}.part"


class Downloader:
    """Fetches sets of weights into a store.

    Args:
        store: the folder of weights.
        hub: address of the Hugging Face hub, or of a mirror of it.
        pause_s: before the first new attempt after a broken transfer; doubled each time.
    """

    def __init__(self, store: WeightStore, hub: str, *, pause_s: float = 1.0) -> None:
        self.store = store
        self.hub = hub.rstrip("/")
        self._pause_s = pause_s

    def hosts(self, names: Sequence[str]) -> dict[str, str]:
        """Name of each set that can be fetched -> scheme and host of its server."""
        sources = {name: entry(name).source for name in names}
        return {
            name: self.hub if isinstance(source, HubFiles) else _origin(source.url)
            for name, source in sources.items()
            if not isinstance(source, InPackage)
        }

    def pull(self, name: str, progress: Progress | None = None, *, force: bool = False) -> Manifest:
        """Fetch a set unless it is here; what was begun is gone on with.

        Args:
            name: of the set.
            progress: hears of every block.
            force: fetch damaged files again, after reading all that are here.

        Raises:
            DownloadFailed: the server does not answer or says no, or what came is wrong.
            OutputError: the disk is full or may not be written.
        """
        source = entry(name).source
        if isinstance(source, InPackage):
            raise DownloadFailed(
                f"{name} comes inside the package {entry(name).package}: install that"
            )
        known = self.store.manifest(name)
        if known and self.store.state(name) == "present" and not force:
            return known
        folder = self.store.folder(name)
        with _one_at_a_time(folder), self._client() as client:
            if force:
                _remove_damaged(self.store, name)
            revision, files = self._describe(client, source)
            sums = {file.name: self._file(client, folder, file, progress) for file in files}
            _remove_parts(folder)
            if isinstance(source, UrlFile):
                revision = sums[source.name].sha256[:12]
            origin = source.repo if isinstance(source, HubFiles) else source.url
            manifest = Manifest(source=origin, revision=revision, files=sums)
            write_manifest(folder, manifest)
        return manifest

    def _client(self) -> httpx.Client:
        import httpx

        timeout = httpx.Timeout(READ_S, connect=ANSWER_S)
        return httpx.Client(timeout=timeout, follow_redirects=True)

    def _headers(self, url: str) -> dict[str, str]:
        """The hub's token goes to the hub alone."""
        token = os.environ.get("HF_TOKEN")
        ours = token and _origin(url) == _origin(self.hub)
        return {"Authorization": f"Bearer {token}"} if ours else {}

    # ------------------------------------------------------------------- what there is

    def _describe(
        self, client: httpx.Client, source: HubFiles | UrlFile
    ) -> tuple[str, list[RemoteFile]]:
        """The revision, and the files to fetch."""
        if isinstance(source, UrlFile):
            return "", [RemoteFile(source.name, source.url, sha256=source.sha256)]
        import httpx

        url = f"{self.hub}/api/models/{source.repo}/revision/{quote(source.revision, safe='')}"
        try:
            answer = client.get(url, params={"blobs": "true"}, headers=self._headers(url))
            answer.raise_for_status()
            facts = answer.json()
            files = [self._hub_file(source.repo, facts["sha"], f) for f in facts["siblings"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise DownloadFailed(f"{url}: {_cause(error)}") from error
        wanted = []
        for pattern in source.patterns:
            matching = [f for f in files if "/" not in f.name and fnmatch(f.name, pattern)]
            if not matching:
                raise DownloadFailed(f"{self.hub}/{source.repo} has no file {pattern}")
            wanted += [file for file in matching if file not in wanted]
        return str(facts["sha"]), wanted

    def _hub_file(self, repo: str, commit: str, facts: dict[str, object]) -> RemoteFile:
        name = str(facts["rfilename"])
        large = facts.get("lfs")
        sha256 = str(large["sha256"]) if isinstance(large, dict) else None
        blob = None if sha256 else str(facts["blobId"]) if facts.get("blobId") else None
        size = facts.get("size")
        url = f"{self.hub}/{repo}/resolve/{commit}/{quote(name)}"
        return RemoteFile(name, url, size if isinstance(size, int) else None, sha256, blob)

    # ----------------------------------------------------------------------- one file

    def _file(
        self, client: httpx.Client, folder: Path, file: RemoteFile, progress: Progress | None
    ) -> FileSum:
        path, part = folder / file.name, folder / file.part_name
        if path.is_file() and _wrong(path, file) is None:
            return FileSum(sha256=sha256_of(path), size_bytes=path.stat().st_size)
        self._transfer(client, file, part, progress)
        if problem := _wrong(part, file):
            part.unlink(missing_ok=True)
            raise DownloadFailed(f"{file.url}: {problem}; it was thrown away, try again")
        found = FileSum(sha256=sha256_of(part), size_bytes=part.stat().st_size)
        part.replace(path)
        return found

    def _transfer(
        self, client: httpx.Client, file: RemoteFile, part: Path, progress: Progress | None
    ) -> None:
        """Bring the unfinished file to its end, in several attempts if need be."""
        import httpx

        for attempt in range(ATTEMPTS):
            try:
                self._attempt(client, file, part, progress)
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in {408, 429, 500, 502, 503, 504}:
                    raise DownloadFailed(f"{file.url}: {_cause(error)}") from error
                failure: Exception = error
            except httpx.TransportError as error:
                failure = error
            except OSError as error:
                raise OutputError(f"{part} could not be written: {error.strerror}") from error
            else:
                return
            if isinstance(failure, httpx.ConnectError) or attempt == ATTEMPTS - 1:
                raise DownloadFailed(f"{file.url}: {_cause(failure)}") from failure
            log.info("%s broke off (%s); going on", file.name, _cause(failure))
            time.sleep(self._pause_s * 2**attempt)

    def _attempt(
        self, client: httpx.Client, file: RemoteFile, part: Path, progress: Progress | None
    ) -> None:
        have = part.stat().st_size if part.exists() else 0
        if file.size_bytes is not None and have == file.size_bytes:
            return
        headers = {**self._headers(file.url), "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with client.stream("GET", file.url, headers=headers) as answer:
            if have and answer.status_code == 416:  # nothing comes after what is here
                return
            answer.raise_for_status()
            resumed = answer.status_code == 206
            with part.open("ab" if resumed else "wb") as out:
                done = have if resumed else 0
                length = answer.headers.get("Content-Length", "")
                total = done + int(length) if length.isdigit() else file.size_bytes
                for block in answer.iter_raw():
                    out.write(block)
                    done += len(block)
                    if progress:
                        progress(file.name, done, total)
                out.flush()
                os.fsync(out.fileno())


def answering(origins: Sequence[str], *, within_s: float = ANSWER_S) -> set[str]:
    """Which of these servers answer at all, asked side by side.

    Looking up a name can hang for longer than any timeout, so threads that are not done
    in time are left to themselves.
    """
    distinct = sorted(set(origins))
    if not distinct:
        return set()
    threads = ThreadPoolExecutor(len(distinct), thread_name_prefix="asks")
    asked = {threads.submit(_answers, origin, within_s): origin for origin in distinct}
    done, _ = wait(asked, timeout=within_s)
    threads.shutdown(wait=False, cancel_futures=True)
    return {asked[future] for future in done if future.result()}


def _answers(origin: str, within_s: float) -> bool:
    import httpx

    try:
        httpx.head(origin, timeout=within_s)
    except (httpx.HTTPError, OSError):
        return False
    return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _wrong(path: Path, file: RemoteFile) -> str | None:
    """What does not fit the server's description of the file."""
    size = path.stat().st_size
    if file.size_bytes is not None and size != file.size_bytes:
        return f"{size} bytes came instead of {file.size_bytes}"
    if file.sha256 and not sha256_of(path).startswith(file.sha256):
        return "its sha256 is not the one that its vendor states"
    if file.blob_sha1 and _blob_sha1(path) != file.blob_sha1:
        return "its git hash is not the one that the hub states"
    return None


def _blob_sha1(path: Path) -> str:
    """git's hash of a file (git-hash-object)."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _remove_damaged(store: WeightStore, name: str) -> None:
    for file in store.damaged_files(name):
        (store.folder(name) / file).unlink(missing_ok=True)
    if store.manifest(name) is None:  # put there by hand: nothing says that it is whole
        for path in store.folder(name).glob("[!.]*"):
            if path.is_file():
                path.unlink()


def _remove_parts(folder: Path) -> None:
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two processes must not write the same unfinished file."""
    lock: BinaryIO
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("wb")
    except OSError as error:
        raise OutputError(f"{folder} could not be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadFailed(f"another process is fetching into {folder}") from error
        yield
        with suppress(OSError):
            (folder / ".lock").unlink()


def _cause(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        code = error.response.status_code
        hint = {401: "a token is needed (HF_TOKEN)", 403: "access is refused", 404: "not there"}
        return f"the server answered {code}, {hint.get(code, error.response.reason_phrase)}"
    if isinstance(error, httpx.TimeoutException):
        return "the server did not answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"the server cannot be reached ({error})"
    if isinstance(error, httpx.HTTPError):
        return f"the connection broke ({type(error).__name__})"
    return "the server's answer makes no sense"

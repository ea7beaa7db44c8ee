"""Everything that Reelscope raises on purpose.

    ReelscopeError
    ├── UsageError                the call itself is wrong             (exit code 2)
    │   ├── ConfigError           config file, environment or flag
    │   ├── CsvError              the creators' CSV
    │   ├── BatchLocked           another run holds this batch
    │   └── LibraryLocked         another process writes to this library
    ├── MediaError                a file that cannot give what was asked of it
    │   ├── UnreadableMedia       no container, or nothing in it that decodes
    │   └── MediaChanged          the file is not the one that was planned
    ├── EngineError               a model or vendor package
    │   ├── EngineUnavailable     not here, with the remedy            (stage: Skipped)
    │   │   ├── ServiceClosed     a service that lets us in no more    (the stage is closed)
    │   │   └── BudgetSpent       what a run may spend is spent
    │   ├── DownloadFailed        weights did not come
    │   └── EngineFailed          here, but it broke
    │       ├── OutOfMemory       not even one item fits its device
    │       ├── DeviceLost        its device gives no results any more (the stage is closed)
    │       ├── ServiceFailed     a remote service gave no answer in time
    │       ├── RequestRefused    a remote service will not take this request
    │       └── AnswerUnusable    an answer that cannot be understood
    ├── CrawlFailed               a source did not give what was asked; its kind says why
    ├── StoreError                a database or a library on disk
    │   ├── DatabaseFailed        the database did not do its part, or is of another version
    │   ├── LibraryDamaged        a file of the library is cut off, changed or gone
    │   └── LibraryMismatch       a library of another version or made with other parameters
    ├── StageTimeout              an item took longer than its limit
    ├── OutputError               a result could not be written (disk full, no permission)
    └── RunStopped                the run gave up on purpose, with the reason

Each class carries `kind`, the word that stands in records and in errors.csv, and
`retryable`: whether running the same thing again can help.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias


class ReelscopeError(Exception):
    """Root of the tree. The message is a sentence that a person understands."""

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class UsageError(ReelscopeError):
    """The call, its files or its settings are wrong; nothing was started."""

    kind = "usage"


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""

    kind = "config"


class CsvError(UsageError):
    """The creators' CSV cannot be used; the message names the line."""

    kind = "csv"


class BatchLocked(UsageError):
    """Another process is working on the same batch."""

    kind = "locked"


class LibraryLocked(UsageError):
    """Another process is writing to the same library."""

    kind = "locked"


class MediaError(ReelscopeError):
    """A media file cannot give what was asked of it."""

    kind = "media"


class UnreadableMedia(MediaError):
    """Not a media file, or one in which nothing decodes."""

    kind = "unreadable"


class MediaChanged(MediaError):
    """The file changed while it was being read."""

    kind = "changed"
    retryable = True


class EngineError(ReelscopeError):
    """A model or a vendor package did not do its part."""

    kind = "engine"


class EngineUnavailable(EngineError):
    """The engine is not on this machine.

    Args:
        reason: what is missing, one sentence.
        remedy: the command or the setting that provides it.
    """

    kind = "unavailable"

    def __init__(self, reason: str, *, remedy: str) -> None:
        super().__init__(f"{reason} ({remedy})")
        self.reason = reason
        self.remedy = remedy


class ServiceClosed(EngineUnavailable):
    """A remote service does not let us in: key refused, quota used up, no such model.

    Nobody asks it again in this run.
    """

    kind = "closed"


class BudgetSpent(EngineUnavailable):
    """A request would pass what a run may spend; a smaller one may still fit."""

    kind = "budget"


class DownloadFailed(EngineError):
    """Weights could not be fetched."""

    kind = "download"
    retryable = True


class EngineFailed(EngineError):
    """The engine was loaded and then broke."""

    kind = "engine_failed"
    retryable = True


class OutOfMemory(EngineFailed):
    """Not even a single item fits the memory of the device."""

    kind = "memory"


class DeviceLost(EngineFailed):
    """The device gives no results any more in this process; another process may get some."""

    kind = "device"


class ServiceFailed(EngineFailed):
    """A remote service gave no answer, also after waiting and asking again."""

    kind = "service"


class RequestRefused(EngineFailed):
    """A remote service understands who asks but will not take this request."""

    kind = "request"


class AnswerUnusable(EngineFailed):
    """The answer of a remote service cannot be understood; its text is kept."""

    kind = "answer"


CrawlFault: TypeAlias = Literal[
    "no_token", "blocked", "gone", "private", "no_videos", "geo_blocked", "rate_limited",
    "network", "not_supported", "not_media", "no_browser",
]  # fmt: skip


class CrawlFailed(ReelscopeError):
    """A source did not give a creator's videos, or a video's file.

    Args:
        fault: no_token: none is set; blocked: the token has expired, or the platform takes us
            for a robot; gone: deleted or never there; private; no_videos; geo_blocked;
            rate_limited; network; not_supported: this source cannot do that; not_media: what
            came is no picture, sound or video; no_browser: none is installed, or it does not
            start.
        message: a sentence.
        remedy: what would help.
    """

    kind = "crawl"

    def __init__(self, fault: CrawlFault, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.remedy = remedy

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later without anybody doing anything."""
        return self.fault in ("rate_limited", "network", "blocked")


class StoreError(ReelscopeError):
    """A database, or a library on disk, did not do its part."""

    kind = "store"


class DatabaseFailed(StoreError):
    """The database does not answer, refuses a row, or is of another version."""

    kind = "database"
    retryable = True


class LibraryDamaged(StoreError):
    """A file of the library is cut off, changed or gone."""

    kind = "damaged"


class LibraryMismatch(StoreError):
    """The library was made by another version, or with other parameters."""

    kind = "mismatch"


class StageTimeout(ReelscopeError):
    """An item took longer than `processing.item_timeout_s`."""

    kind = "timeout"
    retryable = True


class OutputError(ReelscopeError):
    """A result could not be written: disk full, no permission, path too long."""

    kind = "output"
    retryable = True


class RunStopped(ReelscopeError):
    """The run stopped on purpose before its end; what is done is saved."""

    kind = "stopped"
    retryable = True

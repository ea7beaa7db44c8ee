"""A worker of the life cycle of sounds: claims a video, listens to it, decides, and goes on."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from reelscope.errors import LibraryMismatch, MediaError
from reelscope.music.fingerprint import VERSION, fingerprint_file
from reelscope.music.originals import Ears, decide
from reelscope.settings.music import MusicOriginals
from reelscope.store.originals import Claim, ClaimLostError, OriginalsStore, Status

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""Between two looks for work, where there is none."""


class Worker:
    """One of several that share the work; each is a process (or a thread) of its own.

    Args:
        store: of the tables.
        settings: of leases and rules.
        ears: the calibrated rule; None: the rule of hashes decides alone.
        name: for people; None: host and process.
    """

    def __init__(
        self,
        store: OriginalsStore,
        settings: MusicOriginals,
        *,
        ears: Ears | None = None,
        name: str | None = None,
    ) -> None:
        self._store, self._settings, self._ears = store, settings, ears
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"

    def work(self, *, once: bool, stop: Callable[[], bool] = lambda: False) -> int:
        """Work until nothing is left, or for ever.

        Args:
            once: end when nothing is waiting; else wait for more.
            stop: asked before each claim; true ends the work.

        Returns:
            Videos that were ended, whatever they are.

        Raises:
            LibraryMismatch: the stored fingerprints are of another version.
            DatabaseFailed: the database went away; the lease brings the video back.
        """
        self._check_version()
        ended = 0
        while not stop():
            claim = self._store.claim(
                self.name, lease_s=self._settings.lease_s, most_attempts=self._settings.attempts
            )
            if claim is not None:
                ended += self._one(claim) is not None
            elif once:
                break
            else:
                time.sleep(IDLE_S)
        return ended

    def _check_version(self) -> None:
        if other := self._store.versions() - {VERSION}:
            raise LibraryMismatch(
                f"{self._store.database.name}: fingerprints of version {min(other)}, this"
                f" Reelscope makes version {VERSION}; begin a new database"
            )

    def _one(self, claim: Claim) -> Status | None:
        """Do one video; None: it was lost to another worker."""
        try:
            return self._listened(claim)
        except ClaimLostError as error:
            log.warning("%s", error)
            return None

    def _listened(self, claim: Claim) -> Status:
        try:
            if not Path(claim.path).is_file():
                raise FileNotFoundError("the file is not there")
            sound = fingerprint_file(Path(claim.path))
        except (MediaError, OSError) as error:
            again = getattr(error, "retryable", True) and claim.attempts < self._settings.attempts
            self._store.fail(claim, str(error), again=again)
            log.warning("%s, attempt %d: %s", claim.video_id, claim.attempts, error)
            return "pending" if again else "failed"
        return decide(self._store, claim, sound, settings=self._settings, ears=self._ears)

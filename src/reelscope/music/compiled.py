"""Loops that numpy cannot do: compiled by numba on first use, kept on disk for the next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from numba import njit

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """A function of arrays and numbers as machine code; it runs without Python's lock.

    The code is kept beside the source (or in NUMBA_CACHE_DIR), so that a process pays for
    compilation once per machine. Sums may not be reordered: the same sound gives the same
    fingerprint everywhere. Where no folder can be written (another user's installation, no home),
    each process compiles anew.
    """
    try:
        return njit(cache=True, nogil=True)(function)  # type: ignore[return-value]
    except RuntimeError as error:  # "cannot cache function ...: no locator available"
        log.debug("%s", error)
        return njit(nogil=True)(function)  # type: ignore[return-value]

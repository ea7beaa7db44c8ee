"""Whether the container works: its folders can be written; with --url, Jupyter answers there.

Exit code 0: yes. 1: no, with what is wrong on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from reelscope import settings
from reelscope.errors import ConfigError

ANSWER_S = 5.0


def main() -> int:
    """Look, and say what is wrong."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Check this container.")
    parser.add_argument("--url", help="something that has to answer 200")
    wrong = list(problems(parser.parse_args().url))
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


def problems(url: str | None) -> Iterator[str]:
    """What keeps a job, or the server at `url`, from working."""
    try:
        paths = settings.load().paths
    except ConfigError as error:
        yield str(error)
        return
    for folder in (paths.data, paths.models, paths.logs):
        if not _writable(folder):
            yield f"{folder.absolute()} cannot be written by user {os.getuid()}"
    if url is not None and (silence := _silence(url)):
        yield f"{url}: {silence}"


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _silence(url: str) -> str | None:
    """Why it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:  # noqa: S310 (of the image)
            answer.read(1)
    except (OSError, ValueError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())

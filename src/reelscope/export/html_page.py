"""Templates of HTML: what comes from outside is made visible and escaped, always.

Every expression of a template goes through `shown`, then through Jinja's escaping. So a
caption can neither add to the page nor turn the direction of what stands beside it, nor
hold a character that no file can (lone surrogates).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reelscope.description.visible import visible
from reelscope.export.facts import MAX_TEXT

TEMPLATES = Path(__file__).with_name("templates")
_LOOKED_AT = 8
"""Of a long text, this many times the characters that are shown are looked at."""


@cache
def environment() -> Environment:
    """The templates of this room."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters["cut"] = cut
    return made


def shown(value: object) -> object:
    """A text without what cannot be seen; anything else as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def cut(text: str, longest: int = MAX_TEXT) -> str:
    """At most so many characters, with an ellipsis where more were."""
    seen = visible(text[: longest * _LOOKED_AT])
    if len(seen) <= longest and len(text) <= longest * _LOOKED_AT:
        return seen
    return seen[: longest - 1].rstrip() + "…"


@cache
def asset(name: str) -> Markup:
    """A style sheet or a script of this room, as it stands in its file."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own file


def policy(*, style: str, script: str) -> str:
    """The page's content security policy: this style, this script, pictures inside the page.

    Nothing is loaded, sent or embedded (W3C Content Security Policy Level 3).
    """
    parts = (
        "default-src 'none'", "img-src data:", f"style-src {_hash(style)}",
        f"script-src {_hash(script)}", "base-uri 'none'", "form-action 'none'",
    )  # fmt: skip
    return "; ".join(parts)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

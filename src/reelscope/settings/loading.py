"""Reading the settings: the config file, then the environment, then the call's flags.

Any key can be set by `REELSCOPE_<SECTION>__<KEY>`, and the names in `FAMILIAR_NAMES` work
as well. Order, the later wins: defaults, file, environment, flags.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reelscope.errors import ConfigError
from reelscope.settings.all import Settings
from reelscope.settings.base import Section

FAMILIAR_NAMES = {
    "BATCH_SIZE": ("processing.batch_size", "music.match.batch_size"),
    "SAMPLE_RATE": ("events.sample_rate_hz",),
    "LOG_LEVEL": ("logging.level",),
    "WHISPER_MODEL_SIZE": ("models.whisper.size",),
    "TIKTOK_MS_TOKEN": ("tiktok.ms_token",),
    "TIKTOK_BROWSER": ("tiktok.browser",),
    "OPENAI_API_KEY": ("openai.api_key",),
    "SIMILARITY_THRESHOLD": ("music.match.similarity_threshold",),
    "MAX_WORKERS": ("music.match.max_workers",),
    "RETRY_ATTEMPTS": ("music.match.retry_attempts",),
    "COMPARISON_DURATION": ("music.match.comparison_duration_s",),
}
"""Environment names that users of such tools know -> our keys."""

PREFIX = "REELSCOPE_"

DEFAULT_CONFIG = Path("config/config.yml")
_SECRET_SECTIONS = ("tiktok", "openai")  # a secret under a misspelt key is still one
_SECRET_KEY = re.compile(r"(^|[_.])(token|key|secret|password|proxy|database)$")


def load(
    config: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read and check all settings.

    Args:
        config: the YAML file; None reads `config/config.yml` if it is there.
        environ: where `REELSCOPE_<SECTION>__<KEY>` and `FAMILIAR_NAMES` are looked up.
        flags: dotted key -> value from the call; None values are left out.

    Raises:
        ConfigError: one message with a line for every wrong key: where it was set,
            the key, its value (never a secret's) and what is allowed.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    if path is not None:
        values = _read_yaml(path)
        origins[""] = str(path)
    for origin, key, value in (*_from_environ(environ), *_from_flags(flags or {})):
        _put(values, key, value)
        origins[key] = origin
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = sorted({_explain(problem, origins) for problem in error.errors()})
        raise ConfigError("\n".join(lines)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{path}{place}: {problem}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected sections with keys, found a {type(data).__name__}")
    # A section whose keys are all commented out is the same as no section.
    return {str(key): value for key, value in data.items() if value is not None}


def _from_environ(environ: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """(origin, key, value) of the familiar names, then of our own."""
    for name, keys in FAMILIAR_NAMES.items():
        for key in keys if environ.get(name) else ():
            yield f"environment {name}", key, _from_text(environ[name])
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            yield f"environment {name}", key, _from_text(text)


def _from_flags(flags: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key, value in flags.items():
        if value is not None:
            yield f"flag for {key}", key, value


def _from_text(text: str) -> str | None:
    return None if text.strip().lower() in {"", "null", "none"} else text


def _put(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a key of nested sections; sections that come from the file are not changed."""
    section, _, rest = dotted.partition(".")
    if not rest:
        values[section] = value
        return
    inner = values.get(section)
    values[section] = dict(inner) if isinstance(inner, dict) else {}
    _put(values[section], rest, value)


def _explain(problem: Any, origins: Mapping[str, str]) -> str:
    location = [str(part) for part in problem["loc"]]
    dotted = ".".join(location)
    origin = origins.get(dotted) or origins.get("", "settings")
    given = _shown(dotted, problem["input"])
    if problem["type"] == "extra_forbidden":
        return f"{origin}: {dotted} = {given}: unknown key; {_nearest(location)}"
    return f"{origin}: {dotted} = {given}: {problem['msg']}{_allowed(location)}"


def _shown(dotted: str, value: Any) -> str:
    section = dotted.partition(".")[0]
    if section in _SECRET_SECTIONS or _SECRET_KEY.search(dotted.lower()):
        return "(hidden)"
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _section(location: list[str]) -> Section | None:
    """The section that holds the key at this place, with its defaults."""
    section: Any = Settings()
    for name in location[:-1]:
        if not isinstance(section, Section) or name not in type(section).model_fields:
            return None
        section = getattr(section, name)
    return section if isinstance(section, Section) else None


def _nearest(location: list[str]) -> str:
    section = _section(location)
    known = tuple(type(section).model_fields) if section else ()
    near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}Known here: {', '.join(known)}"


def _allowed(location: list[str]) -> str:
    section = _section(location)
    if section is None or location[-1] not in type(section).model_fields:
        return ""
    default = getattr(section, location[-1])
    if isinstance(default, Section):
        return ""
    return f" ({type(section).model_fields[location[-1]].description} Default: {default})"

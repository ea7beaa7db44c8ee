"""Writes config/config.yml from the settings' own defaults and descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from reelscope.settings import FAMILIAR_NAMES, Section, Settings

HEAD = """\
# Every setting of Reelscope with its default. Made by scripts/make_config.py.
#
# Order, the later wins: this file, the environment, the call's flags.
# Any key can be set as REELSCOPE_<SECTION>__<KEY>, for example
#   REELSCOPE_MEDIA__SAMPLE_FPS=2 python main.py --csv data/creators.csv
# An unknown key or a wrong value is refused before anything starts.
# Changing a setting makes only the stages that read it run again.
"""


FAMILIAR = {key: name for name, key in FAMILIAR_NAMES.items()}


def render() -> str:
    """The file's text."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        parts += ["\n", *section_lines(field.default, path=name)]
    return "".join(parts)


def section_lines(section: Section, *, path: str) -> Iterator[str]:
    """A section with its keys; a section within it stands further in."""
    indent = "  " * path.count(".")
    yield f"{indent}# {(type(section).__doc__ or '').splitlines()[0]}\n"
    yield f"{indent}{path.rpartition('.')[2]}:\n"
    for key, setting in type(section).model_fields.items():
        inner = getattr(section, key)
        if isinstance(inner, Section):
            yield from section_lines(inner, path=f"{path}.{key}")
            continue
        known_as = FAMILIAR.get(f"{path}.{key}")
        also = f" Also: {known_as}." if known_as else ""
        default = section.model_dump(mode="json")[key]
        value = yaml.safe_dump(default).removesuffix("...\n").strip()
        yield f"{indent}  {key}: {value}  # {setting.description}{also}\n"


if __name__ == "__main__":
    (Path(__file__).parent.parent / "config" / "config.yml").write_text(render(), encoding="utf-8")

"""Writes config/config.yml from the settings' own defaults and descriptions."""

from __future__ import annotations

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


def render() -> str:
    """The file's text."""
    familiar = {key: name for name, key in FAMILIAR_NAMES.items()}
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        section: Section = field.default
        parts.append(f"\n# {(type(section).__doc__ or '').splitlines()[0]}\n{name}:\n")
        for key, setting in type(section).model_fields.items():
            default = section.model_dump(mode="json")[key]
            known_as = familiar.get(f"{name}.{key}")
            also = f" Also: {known_as}." if known_as else ""
            value = yaml.safe_dump(default).removesuffix("...\n").strip()
            parts.append(f"  {key}: {value}  # {setting.description}{also}\n")
    return "".join(parts)


if __name__ == "__main__":
    (Path(__file__).parent.parent / "config" / "config.yml").write_text(render(), encoding="utf-8")

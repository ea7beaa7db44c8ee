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


FAMILIAR = {key: name for name, keys in FAMILIAR_NAMES.items() for key in keys}


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
        default = section.model_dump(mode="json")
        note = f"# {setting.description}{also}"
        if isinstance(inner, tuple | dict) and inner:
            yield f"{indent}  {note}\n{indent}  {key}:\n"
            yield from block_lines(default_of(inner), indent=f"{indent}    ")
            continue
        value = yaml.safe_dump(default[key]).removesuffix("...\n").strip()
        yield f"{indent}  {key}: {value}  {note}\n"


def default_of(value: object) -> object:
    """Plain data without what is as usual, so that a list shows what matters."""
    if isinstance(value, tuple):
        return [default_of(item) for item in value]
    if isinstance(value, dict):
        return {name: default_of(item) for name, item in value.items()}
    if isinstance(value, Section):
        return value.model_dump(mode="json", exclude_defaults=True)
    return value


def block_lines(value: object, *, indent: str) -> Iterator[str]:
    """A list or mapping over several lines."""
    text = yaml.dump(value, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=95)
    for line in text.splitlines():
        yield f"{indent}{line}\n"


class _Readable(yaml.SafeDumper):
    """Lists of plain words in one line; items of a list further in than their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)


def _words_in_one_line(dumper: _Readable, items: list[object]) -> yaml.SequenceNode:
    plain = all(isinstance(item, str) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=plain)


_Readable.add_representer(list, _words_in_one_line)


if __name__ == "__main__":
    (Path(__file__).parent.parent / "config" / "config.yml").write_text(render(), encoding="utf-8")

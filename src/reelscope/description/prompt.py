"""What a model is told: the templates of `config/prompts`, filled in, with a fence around the data.

Whatever comes from a video stands as JSON between two marks, pictures included. The marks
carry a number that follows from all that stands between them: the same video is asked about
in the same words, and nobody who writes a caption can foresee the mark that would end the
data. `facts.to_json` sees to it that nothing inside looks like a mark.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reelscope.description.chat import Message, Picture, ResponseFormat
from reelscope.description.facts import Facts, to_json
from reelscope.description.visible import visible
from reelscope.errors import ConfigError
from reelscope.settings import AnswerField, Dimension, Paths

if TYPE_CHECKING:
    from jinja2 import Template

PACKAGED = Path(__file__).with_name("prompts")
NAMES = (
    "describe_system", "describe_user", "describe_closing", "repair",
    "creator_system", "creator_user",
)  # fmt: skip
MAX_FILE_BYTES = 100_000
MOST_ANSWER_CHARS = 20_000
"""Of an answer that is given back to be put right."""
MOST_PROBLEMS = 20
MOST_PROBLEM_CHARS = 300
_VERSION = re.compile(r"\{#-?\s*version:\s*(\d{1,9})\s*-?#\}")


class Asking(Protocol):
    """The settings that the system prompt is made of; `settings.Describe` has them."""

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The questions."""
        ...

    @property
    def language(self) -> str:
        """Of the answers."""
        ...

    @property
    def response_format(self) -> ResponseFormat:
        """With `json_schema` the schema goes its own way; else it is written out."""
        ...


@dataclass(frozen=True, slots=True)
class Prompts:
    """Templates that were read and tried out.

    Attributes:
        hashes: name -> "version:sha256", the first 16 digits, of the file as it was read.
    """

    hashes: dict[str, str]
    templates: Mapping[str, Template]

    def render(self, name: str, **data: Any) -> str:
        """A template filled in, without blanks at its end."""
        return self.templates[name].render(data).rstrip()


# ---------------------------------------------------------------------------- reading


def load_prompts(folder: Path | None = None) -> Prompts:
    """Read the templates, and try each of them out.

    Args:
        folder: holds the templates; for a file that is not there the packaged one is read.
            None, or the settings' default where there is no such folder: all packaged.

    Raises:
        ConfigError: with file and line: there is no such folder, a file has a name that is
            no template's, no version, or does not work.
    """
    from jinja2 import FunctionLoader, StrictUndefined, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    paths = _paths(folder)
    sources = {name: _read(path) for name, path in paths.items()}
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(lambda name: (sources[name], str(paths[name]), None)),
        undefined=StrictUndefined,
        autoescape=False,  # no HTML: a model reads it
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = to_json
    try:
        templates = {name: environment.get_template(name) for name in NAMES}
    except TemplateSyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        raise ConfigError(f"{where}: {error.message}") from None
    hashes = {name: _hash(path, sources[name]) for name, path in paths.items()}
    prompts = Prompts(hashes, templates)
    for name, data, in_order in _trials():
        _try_out(prompts, name, data=data, in_order=in_order, path=paths[name])
    return prompts


def _paths(folder: Path | None) -> dict[str, Path]:
    files = {name: f"{name}.j2" for name in NAMES}
    if folder is None or (folder == Paths().prompts and not folder.exists()):
        folder = PACKAGED
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder of prompts (paths.prompts)")
    strange = sorted(path.name for path in folder.glob("*.j2") if path.name not in files.values())
    if strange:
        known = ", ".join(files.values())
        raise ConfigError(f"{folder / strange[0]}: no such prompt; there are {known}")
    return {
        name: folder / file if (folder / file).exists() else PACKAGED / file
        for name, file in files.items()
    }


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; is it a prompt?")
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None


def _hash(path: Path, source: str) -> str:
    version = _VERSION.match(source)
    if not version:
        raise ConfigError(f"{path}, line 1: no version; it begins with {{# version: 1 #}}")
    return f"{int(version[1])}:{hashlib.sha256(source.encode()).hexdigest()[:16]}"


def _trials() -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """(template, data to try it out with, what must come out of it, in this order)."""
    begin, end = fence("sample")
    marks = {"begin": begin, "end": end}
    field = AnswerField(name="sample_field", instruction="Why?", type="evidence")
    asked = Dimension(name="sample", instruction="What?", type="objects", fields=(field,))
    plain = Dimension(name="other", type="choices", choices=("a",), optional=True, evidence=False)
    for dimensions, schema in (([plain], None), ([asked, plain], {"sample schema": 1})):
        data = _system(dimensions, "Klingon", schema)
        written = [data["schema"]] if schema else []
        for name in ("describe_system", "creator_system"):
            yield name, data, [*(dimension.name for dimension in dimensions), *written]
    for frames in (True, False):
        facts = '{"sample": 1}'
        yield "describe_user", {"begin": begin, "facts": facts, "frames": frames}, [begin, facts]
    yield "describe_closing", {"end": end}, [end]
    problems, videos = '["sample"]', '[{"sample": 1}]'
    yield "repair", {"problems": problems, **marks}, [begin, problems, end]
    data = {"videos": videos, "given": 1, "total": 2, **marks}
    yield "creator_user", data, [begin, videos, end]


def _try_out(
    prompts: Prompts, name: str, *, data: dict[str, Any], in_order: Sequence[str], path: Path
) -> None:
    from jinja2 import TemplateError

    try:
        text = prompts.render(name, **data)
    except (
        TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
        ValueError,
    ) as error:  # fmt: skip
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise ConfigError(f"{where}: {error}") from None
    at = 0
    for wanted in in_order:
        at = text.find(wanted, at)
        key = next((key for key, value in data.items() if value == wanted), None)
        if at < 0 or (key and text.count(wanted) > 1):
            what = f"{{{{ {key} }}}}" if key else "all of {{ dimensions }}"
            raise ConfigError(f"{path}: {what} must stand in it, once and in its place")
        at += len(wanted)


# ---------------------------------------------------------------------------- filling in


def fence(content: str) -> tuple[str, str]:
    """The marks before and after data from outside.

    Args:
        content: all that stands between them, pictures by their hashes.
    """
    number = _number(content)
    while number in content:
        number = _number(number + content)
    return f"<<<VIDEO DATA {number}>>>", f"<<<END OF VIDEO DATA {number}>>>"


def _number(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def describe_messages(
    prompts: Prompts,
    facts: Facts,
    pictures: Sequence[tuple[float, Picture]],
    settings: Asking,
    schema: dict[str, Any],
) -> tuple[Message, ...]:
    """The question about a video: what is asked, then the fenced facts and frames.

    Args:
        prompts: the templates.
        facts: of the video.
        pictures: (time in seconds, picture), in order.
        settings: what is asked, and how.
        schema: of the answer; written out unless the server is given it in its own way.
    """
    shown = "".join(hashlib.sha256(picture.jpeg).hexdigest() for _, picture in pictures)
    begin, end = fence(facts.text + shown)
    frames: list[str | Picture] = []
    for time_s, picture in pictures:
        frames += [f"Frame at {round(time_s, 2) + 0.0} s:", picture]
    text = prompts.render("describe_user", begin=begin, facts=facts.text, frames=bool(frames))
    closing = prompts.render("describe_closing", end=end)
    return (
        system_message(prompts, "describe_system", settings, settings.dimensions, schema=schema),
        Message("user", (text, *frames, closing)),
    )


def system_message(
    prompts: Prompts,
    name: str,
    settings: Asking,
    dimensions: Sequence[Dimension],
    *,
    schema: dict[str, Any],
) -> Message:
    """Who the model is and what it is asked; the same for every video of a run.

    Servers read a beginning that they know from their cache, at a lower price.
    """
    written = None if settings.response_format == "json_schema" else schema
    return Message(
        "system", (prompts.render(name, **_system(dimensions, settings.language, written)),)
    )


def _system(
    dimensions: Sequence[Dimension], language: str, schema: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "dimensions": dimensions,
        "language": language,
        "evidence": [dimension.name for dimension in dimensions if dimension.evidence],
        "evidence_within": any(_has_evidence(dimension) for dimension in dimensions),
        "schema": None if schema is None else to_json(schema),
    }


def _has_evidence(field: AnswerField) -> bool:
    return field.type == "evidence" or any(_has_evidence(inner) for inner in field.fields)


def repair_messages(
    prompts: Prompts, before: tuple[Message, ...], answer_text: str, problems: Sequence[str]
) -> tuple[Message, ...]:
    """The conversation so far, the answer, and what is wrong in it.

    Args:
        prompts: the templates.
        before: what was asked.
        answer_text: what came; only its beginning is given back if it is very long.
        problems: a sentence each; they may quote the answer.
    """
    said = [visible(problem[:MOST_PROBLEM_CHARS]) for problem in problems[:MOST_PROBLEMS]]
    text = to_json([*said])
    begin, end = fence(text)
    answer = answer_text[:MOST_ANSWER_CHARS]
    # an empty turn is refused by some servers
    turns = (Message("assistant", (answer,)),) if answer.strip() else ()
    asked = prompts.render("repair", problems=text, begin=begin, end=end)
    return (*before, *turns, Message("user", (asked,)))

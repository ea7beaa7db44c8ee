"""The words that pictures are searched for and compared with: `config/vocabulary.yml`.

Stage `detect` reads `objects`, stage `embed` reads `relevance` and `categories`. The words
are settings: what reads them runs again when they change. The package carries the same
file, for who calls it from elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from reelscope.errors import ConfigError
from reelscope.settings import Paths, Section

PACKAGED = Path(__file__).with_suffix(".yml")
MAX_BYTES = 75
"""Of a prompt, in UTF-8. CLIP reads 77 tokens, two of which mark the ends, and a token
stands for at least one byte (openai/CLIP, clip/simple_tokenizer.py): no prompt is cut."""
MAX_FILE_BYTES = 1_000_000
MAX_TERMS = 1000
MAX_DEPTH = 3
S = TypeVar("S")


def _words(text: str) -> str:
    """With single blanks, and nothing that cannot be seen.

    Raises:
        ValueError: it is empty, too long or not printable.
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if not text:
        raise ValueError("no words")
    if not text.isprintable():
        raise ValueError("characters that cannot be printed")
    if (size := max(len(text.encode()), len(text.lower().encode()))) > MAX_BYTES:
        raise ValueError(f"{size} bytes long; at most {MAX_BYTES} fit the 77 tokens that are read")
    return text


Words: TypeAlias = Annotated[str, Field(strict=True), AfterValidator(_words)]


class Term(Section):
    """Something to look for: a word alone, or with the prompt that stands for it."""

    label: Words = Field(description="What results call it.")
    prompt: Words = Field(description="What the model reads; as the label if not given.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        if isinstance(data, str):
            return {"label": data, "prompt": data}
        if not isinstance(data, dict):
            raise ValueError(_NO_WORD.format("{label: ..., prompt: ...}"))
        return {"prompt": data.get("label"), **data}


class Category(Section):
    """What a video can be about, with finer categories inside it."""

    name: Words = Field(description="What results call it.")
    prompts: tuple[Words, ...] = Field(
        min_length=1, max_length=100, description="Sentences that describe a picture of it."
    )
    within: tuple[Category, ...] = Field((), max_length=100, description="The next level.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, dict):
            raise ValueError(_NO_WORD.format("{name: ..., prompts: [...], within: [...]}"))
        name = data.get("name")
        return {"prompts": [f"a photo of {name.lower()}"] if isinstance(name, str) else [], **data}

    @model_validator(mode="after")
    def _names_differ(self) -> Category:
        _refuse_twins(self.within)
        return self


_NO_WORD = "neither a word nor {}; YAML reads yes, no, on, off and numbers as such: put quotes"


class Objects(Section):
    """What the detector looks for. A label counts where it stands first."""

    products: tuple[Term, ...] = Field((), max_length=MAX_TERMS, description="Can be bought.")
    others: tuple[Term, ...] = Field((), max_length=MAX_TERMS, description="What is around them.")

    @model_validator(mode="before")
    @classmethod
    def _nothing_twice(cls, data: object) -> object:
        """Drop terms whose label stands further up, however it is written."""
        if not isinstance(data, dict):
            return data
        seen: set[str] = set()
        lists = {
            key: data[key] for key in ("products", "others") if isinstance(data.get(key), list)
        }
        once = {key: [term for term in terms if _first(term, seen)] for key, terms in lists.items()}
        return {**{key: value for key, value in data.items() if value is not None}, **once}

    @model_validator(mode="after")
    def _not_empty(self) -> Objects:
        if not self.terms:
            raise ValueError("nothing to look for; name at least one product or other object")
        return self

    @property
    def terms(self) -> tuple[Term, ...]:
        """All of them, the products first."""
        return self.products + self.others


class Relevance(Section):
    """Prompts for pictures of products, and for pictures of anything else."""

    products: tuple[Words, ...] = Field(min_length=1, max_length=MAX_TERMS)
    others: tuple[Words, ...] = Field(min_length=1, max_length=MAX_TERMS)


class Vocabulary(Section):
    """All of the file."""

    objects: Objects = Field(description="For stage `detect`.")
    relevance: Relevance = Field(description="For stage `embed`: is it about a product?")
    categories: tuple[Category, ...] = Field(
        (), max_length=100, description="For stage `embed`: what is it about?"
    )

    @model_validator(mode="after")
    def _shape(self) -> Vocabulary:
        _refuse_twins(self.categories)
        if any(len(path) > MAX_DEPTH for path, _ in walk(self.categories)):
            raise ValueError(f"categories have at most {MAX_DEPTH} levels")
        return self


def walk(
    categories: Sequence[Category], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Category]]:
    """Every category with the names that lead to it, its own last; outer ones first."""
    for category in categories:
        path = (*above, category.name)
        yield path, category
        yield from walk(category.within, path)


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """Read and check a vocabulary.

    Args:
        path: the file; None, or the settings' default where there is no such file: the one
            that the package carries.

    Raises:
        ConfigError: a line for everything that is wrong, with the file and the key.
    """
    if path is None or (path == Paths().vocabulary and not path.exists()):
        path = PACKAGED
    data = _read(path)
    try:
        return Vocabulary.model_validate(data)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(_explain(path, problem) for problem in error.errors())
        ) from None


class _PlainLoader(yaml.SafeLoader):
    """Without references: a few lines of them can stand for more categories than fit memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "references (*name) are not read", mark)
        return super().compose_node(parent, index)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; is it a vocabulary?")
        data = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)  # noqa: S506  (a SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such vocabulary (paths.vocabulary)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date 2026-99-99
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML that can be read"
        raise ConfigError(f"{path}{place}: {problem}") from None
    if not isinstance(data, dict):
        found = "is empty" if data is None else f"holds a {type(data).__name__}"
        raise ConfigError(f"{path}: {found}; expected objects, relevance and categories")
    return data


def _explain(path: Path, problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    given = repr(problem["input"]) if isinstance(problem["input"], str | int | float) else ""
    shown = f" = {given[:77] + '...' if len(given) > 80 else given}" if given else ""
    said = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        said = "unknown key"
    return f"{path}: {key}{shown}: {said}" if key else f"{path}: {said}"


def _first(term: object, seen: set[str]) -> bool:
    label = term.get("label") if isinstance(term, dict) else term
    if not isinstance(label, str):
        return True  # said to be wrong when it is checked
    folded = " ".join(unicodedata.normalize("NFC", label).split()).casefold()
    if folded in seen:
        return False
    seen.add(folded)
    return True


def _refuse_twins(categories: Sequence[Category]) -> None:
    names = [category.name.casefold() for category in categories]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"two categories of one level have the name {twins[0]!r}")

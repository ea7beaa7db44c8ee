"""The vocabulary: the file that is shipped, and files that people and others write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reelscope.errors import ConfigError
from reelscope.settings import Paths
from reelscope.vision.vocabulary import MAX_BYTES, PACKAGED, load_vocabulary, walk

SMALL: dict[str, Any] = {
    "objects": {"products": ["cup"], "others": ["person"]},
    "relevance": {"products": ["a product"], "others": ["a landscape"]},
    "categories": ["Beauty", {"name": "Food", "within": ["Meals"]}],
}


def write(folder: Path, data: object) -> Path:
    path = folder / "words.yml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


def refusal(folder: Path, data: object) -> str:
    path = write(folder, data)
    with pytest.raises(ConfigError) as refused:
        load_vocabulary(path)
    assert all(line.startswith(str(path)) for line in str(refused.value).splitlines())
    return str(refused.value)


def test_the_config_file_and_the_packaged_one_are_the_same() -> None:
    config = Path(__file__).parents[2] / "config" / "vocabulary.yml"
    assert config.read_bytes() == PACKAGED.read_bytes()


def test_the_shipped_words() -> None:
    words = load_vocabulary()
    labels = [term.label for term in words.objects.terms]
    assert 60 <= len(labels) == len(set(labels))
    assert {"bottle", "lipstick", "perfume", "phone", "shoe", "person", "car", "logo"} <= {*labels}
    assert {len(path) for path, _ in walk(words.categories)} == {1, 2, 3}


def test_without_the_default_file_the_packaged_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_vocabulary(Paths().vocabulary) == load_vocabulary()


def test_a_file_that_is_asked_for_and_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yml: there is no such vocabulary"):
        load_vocabulary(tmp_path / "gone.yml")


def test_short_and_long_forms(tmp_path: Path) -> None:
    terms = ["cup", {"label": "scent", "prompt": "perfume  bottle"}, {"label": "hat"}]
    words = load_vocabulary(write(tmp_path, {**SMALL, "objects": {"products": terms}}))
    assert [(t.label, t.prompt) for t in words.objects.terms] == [
        ("cup", "cup"), ("scent", "perfume bottle"), ("hat", "hat"),
    ]  # fmt: skip
    assert words.categories[0].prompts == ("a photo of beauty",)
    assert [path for path, _ in walk(words.categories)] == [
        ("Beauty",), ("Food",), ("Food", "Meals"),
    ]  # fmt: skip


def test_a_label_counts_where_it_stands_first(tmp_path: Path) -> None:
    terms = {"products": ["cup", "Cup ", "hat"], "others": ["CUP", {"label": "person"}]}
    words = load_vocabulary(write(tmp_path, {**SMALL, "objects": terms}))
    assert [t.label for t in words.objects.products] == ["cup", "hat"]
    assert [t.label for t in words.objects.others] == ["person"]


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({}, "objects: nothing to look for"),
        ({"products": None, "others": []}, "objects: nothing to look for"),
        ({"products": [""]}, "objects.products.0.label = '': no words"),
        ({"products": [7]}, "objects.products.0 = 7: neither a word nor"),
        ({"products": [True]}, "objects.products.0 = True: neither a word nor"),
        ({"products": ["cup", {"label": "x", "promt": "y"}]}, "products.1.promt = 'y': unknown"),
        ({"products": ["a\x00b"]}, "cannot be printed"),
        ({"products": ["\u202egnirts"]}, "cannot be printed"),
        ({"products": ["x" * (MAX_BYTES + 1)]}, f"{MAX_BYTES + 1} bytes long"),
        ({"products": ["\U0001f600" * 19]}, "76 bytes long"),
        ({"products": ["\u0130" * 26]}, "78 bytes long"),  # as read, in small letters
        ({"products": "cup"}, "objects.products = 'cup'"),
        ({"products": [{"prompt": "no label"}]}, "objects.products.0.label"),
        ({"products": [str(i) + "x" for i in range(1001)]}, "at most 1000"),
        (["cup"], "objects"),
        (None, "objects"),
    ],
)
def test_wrong_objects_are_named(tmp_path: Path, objects: object, said: str) -> None:
    assert said in refusal(tmp_path, {**SMALL, "objects": objects})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"relevance": {"products": ["a"], "others": []}}, "relevance.others"),
        ({"relevance": None}, "relevance"),
        ({"categories": ["A", "a"]}, "two categories of one level have the name 'a'"),
        ({"categories": [{"name": "A", "within": ["B", "B"]}]}, "have the name 'b'"),
        ({"categories": [{"name": "A", "prompts": []}]}, "categories.0.prompts"),
        ({"categories": [{"prompts": ["a"]}]}, "categories.0.name"),
        ({"categories": [{"name": "A" * 70}]}, "categories.0.prompts.0"),
        ({"categorys": []}, "categorys: unknown key"),
    ],
)
def test_wrong_other_parts_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, {**SMALL, **change})


def test_a_fourth_level_is_refused(tmp_path: Path) -> None:
    deep: object = "D"
    for name in "CBA":
        deep = {"name": name, "within": [deep]}
    assert "at most 3 levels" in refusal(tmp_path, {**SMALL, "categories": [deep]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "holds a list"),
        ("objects: [\n", "line 2"),
        ("objects: 2026-99-99\n", "not YAML"),
        ("a: &a [x]\nb: [*a, *a]\n", "line 2: references"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("x" * 1_000_001, "larger than"),
        ("[" * 3000, ""),
    ],
)
def test_files_that_are_no_vocabulary(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "words.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_vocabulary(path)

"""Links in the documentation lead somewhere, and every page can be reached."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(path.relative_to(REPOSITORY).as_posix() for path in sorted(REPOSITORY.glob("docs/**/*.md"))),
)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|\n\n)(?:(?: {4}|\t).*(?:\n|$)|\n(?= {4}|\t))+")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
TARGET = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']+)", re.IGNORECASE)


@cache
def text(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


@cache
def links(page: str) -> tuple[str, ...]:
    """Targets of a page, those in code left out."""
    prose = CODE.sub("`", INDENTED.sub("\n\n", FENCE.sub("", text(page))))
    return (*TARGET.findall(prose), *HTML.findall(prose))


def slugs(markdown: str) -> set[str]:
    """Anchors of headings by GitHub's rule: lower case, without punctuation, blanks as hyphens;
    a second one of a name gets -1."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*\s*$", FENCE.sub("", markdown), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@cache
def in_git() -> frozenset[str]:
    """Files and folders that a clone has; where there is no git, what is on the disk."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    names = listed.stdout.split("\0")[:-1] if listed.returncode == 0 else []
    names = names or [p.relative_to(REPOSITORY).as_posix() for p in REPOSITORY.rglob("*")]
    folders = (str(above) for name in names for above in PurePosixPath(name).parents)
    return frozenset([*names, *folders])


def target_of(page: str, link: str) -> tuple[str, str]:
    """Path from the repository's root, and anchor."""
    path, _, anchor = link.partition("#")
    if not path:
        return page, anchor
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / unquote(path)).parts:
        assert part != "/", f"{page}: {link} begins at the root of the disk"
        if part == "..":
            assert parts, f"{page}: {link} leads out of the repository"
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) or ".", anchor


def test_the_reader_of_links_sees_what_github_sees() -> None:
    assert slugs("# What is asked: `prompt`, fence\n## A\n## A\n```\n# no\n```\n") == {
        "what-is-asked-prompt-fence", "a", "a-1",
    }  # fmt: skip
    assert slugs("## The main job's flags") == {"the-main-jobs-flags"}
    assert target_of("docs/a.md", "../README.md#x") == ("README.md", "x")
    with pytest.raises(AssertionError, match="leads out"):
        target_of("docs/a.md", "../../elsewhere.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_what_is_in_git(page: str) -> None:
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            assert parts.scheme == "https", f"{page}: {link}"
            assert re.fullmatch(r"[\w.-]+\.[a-z]{2,}", parts.netloc), f"{page}: {link}"
            continue
        path, anchor = target_of(page, link)
        assert path in in_git(), f"{page}: {link} is not in git"
        if anchor and path.endswith(".md"):
            assert anchor in slugs(text(path)), f"{page}: {link} has no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A link to a folder shows what is in it."""
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        if page.endswith(".md"):
            waiting += [target_of(page, link)[0] for link in links(page) if "://" not in link]
        elif page != ".":
            waiting += [p for p in PAGES if str(PurePosixPath(p).parent) == page]
    assert sorted(set(PAGES) - reached) == []


def test_the_pages_have_links_at_all() -> None:
    assert len(links("README.md")) > 20
    assert "docs/images" in {str(PurePosixPath(link).parent) for link in links("README.md")}

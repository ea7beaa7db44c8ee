"""Writes docs/data-dictionary.md from the columns and the models."""

from __future__ import annotations

from pathlib import Path

from reelscope.export.dictionary import render
from reelscope.pipeline.summary import Summary
from reelscope.settings import Describe

if __name__ == "__main__":
    page = Path(__file__).parent.parent / "docs" / "data-dictionary.md"
    page.write_text(render(Summary, Describe().dimensions), encoding="utf-8")

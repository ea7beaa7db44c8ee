"""report.html in the real Chromium: it asks for nothing, sorts, fits, and shows what it holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reelscope.engines.browser import find_browser
from reelscope.errors import CrawlFailed
from reelscope.export.columns import columns
from reelscope.export.creator import export_creator
from reelscope.media.pictures import write_jpeg
from reelscope.records import VideoRecord

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow
Make = Callable[..., VideoRecord]
HOSTILE = "</script><script>window.hurt = 1</script><img src=http://127.0.0.1:9/x onerror=hurt()>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        program = find_browser(None)
    except CrawlFailed as error:
        pytest.skip(f"{error} ({error.remedy})")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=str(program), args=["--no-sandbox"], timeout=60_000
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three videos, one with a hostile caption, one of which nothing is known."""
    data = tmp_path_factory.mktemp("data")
    records = [
        make(video_id="1", platform={"caption": HOSTILE}, probe={"duration_s": 9.0}),
        make(video_id="2", probe={"duration_s": 120.0}, text={"appearances": []}),
        make(video_id="3" * 60, without=tuple(make().stages)),
    ]
    red = np.full((256, 144, 3), (200, 30, 40), np.uint8)
    for record in records[:2]:
        for name in ("chosen 1.jpg", "chosen_0.jpg"):
            write_jpeg(data / "tiktok_frames" / record.source.frames_id / name, red, 90)
    folder = data / "analysis_results" / "anna"
    export_creator(records, folder, table=columns(()))
    return folder / "report.html"


@contextmanager
def opened(browser: Any, report: Path, **context: Any) -> Iterator[Any]:
    """The page; nothing may have been asked for or complained about when the block ends."""
    troubles: list[str] = []
    place = browser.new_context(**context)
    page = place.new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url))
    page.goto(report.as_uri())
    yield page
    place.close()
    asked = [trouble for trouble in troubles if not trouble.startswith("data:image/jpeg;")]
    assert asked == [report.as_uri()]


def first_column(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#videos tbody th", "cells => cells.map(cell => cell.textContent[0])"
    )
    return found


def test_it_asks_for_nothing_and_runs_no_script_of_others(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        assert page.evaluate("window.hurt") is None
        assert page.title() == "anna · Reelscope report"
        widths = page.eval_on_selector_all("img", "all => all.map(image => image.naturalWidth)")
        assert len(widths) == 8
        assert min(widths) > 0
        assert page.locator("article").count() == 3


def test_what_got_in_all_the_same_could_do_nothing(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.evaluate("""() => {
      window.refused = [];
      document.addEventListener("securitypolicyviolation",
        (refusal) => window.refused.push(refusal.effectiveDirective));
      document.body.append(document.createRange().createContextualFragment(
        "<script>window.hurt = 1</script><img src='http://127.0.0.1:9/x'>"
        + "<p onclick='hurt()' style='color: red'></p><iframe src='http://127.0.0.1:9/x'></iframe>"));
      document.querySelector("[onclick]").click();
    }""")
    wanted = {"script-src-elem", "img-src", "script-src-attr", "style-src-attr", "frame-src"}
    until = time.monotonic() + 20
    while set(page.evaluate("window.refused")) != wanted:
        assert time.monotonic() < until, page.evaluate("window.refused")
        page.wait_for_timeout(50)
    assert page.evaluate("window.hurt") is None
    page.close()


def test_the_table_is_sorted_by_the_head_that_is_pressed(browser: Any, report: Path) -> None:
    with opened(browser, report) as page:
        assert first_column(page) == ["1", "2", "3"]
        for name, order in (("length", "213"), ("length", "123"), ("texts", "123"),
                            ("video", "123"), ("video", "321")):  # fmt: skip
            page.get_by_role("button", name=name, exact=True).click()
            assert first_column(page) == list(order), name
        assert page.locator("th[aria-sort=descending]").inner_text().startswith("video")


def test_without_scripts_all_is_there(browser: Any, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as page:
        assert page.locator("#videos tbody tr").count() == 3
        assert page.locator("article img").count() == 4


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_fits_and_can_be_read(browser: Any, report: Path, width: int, scheme: str) -> None:
    view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with opened(browser, report, **view) as page:
        for details in page.locator("details").all():
            details.evaluate("each => each.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        shot = page.screenshot(full_page=True)
        assert page.evaluate(LEAST_CONTRAST) >= 4.5
    picture = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] == width
    assert (picture.mean() > 127) == (scheme == "light")
    red = np.abs(picture.astype(int) - (40, 30, 200)).sum(axis=2) < 40
    assert red.sum() > 4 * 90 * 160, "the frames are seen"


LEAST_CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((level) => {
      const share = level / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *:not(svg *):not(script)")].filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
  return Math.min(...texts.map((element) => {
    const levels = [getComputedStyle(element).color, behind(element)].map(light);
    return (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
  }));
}"""
"""Contrast of the palest text with what is behind it (WCAG 2.2, 1.4.3 asks for 4.5)."""

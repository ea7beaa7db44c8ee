"""The readable report, through a real Markdown parser."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reelscope.export.report import MAX_TEXT, Report, escape
from reelscope.records import StageRecord, VideoRecord

Make = Callable[..., VideoRecord]
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def page(*records: VideoRecord) -> str:
    report = Report("anna", frames_link="../../tiktok_frames")
    for record in records:
        report.add(record)
    return report.render()


def test_it_says_what_was_found(make: Make) -> None:
    text = page(make())
    for part in (
        "# anna", "1 video, 13.1 s in all.", "## 1", "Caption: Morning run with “friends”, 5 km",
        "13.1 s, 320 × 568 px, 29.97 frames/s, h264, aac", "35 % of the sound, 4.5 s",
        "210 syllables/min (normal)", "speech over music 9.8 s, music 3.2 s, -23.1 LUFS",
        "3 shots, 9.2 cuts per minute, 1 in the first 3.0 s", "SALE / now \\| -50 %",
        "Heard: Music, Laughter", "Said: Hello. Well, ask what you can do.",
        "Seen: person 13.1 s, lipstick 2.2 s", "Shown: a woman holding a bottle; a red bottle",
        "![0.00 s](../../tiktok_frames/1/chosen_0.jpg)",
        "![1.00 s](../../tiktok_frames/1/chosen%201.jpg)",
    ):  # fmt: skip
        assert part in text, part


def test_it_says_what_failed_or_was_skipped_and_why(
    make: Make, failed: StageRecord, skipped: StageRecord
) -> None:
    lacking = skipped.model_copy(update={"remedy": "install it"})
    text = page(make(probe=failed, voice=skipped, text=lacking))
    html = MARKDOWN.render(text)
    assert "<code>probe</code> failed: no stream | in it &lt;b&gt;" in html
    assert "<code>voice</code> skipped: the video has no audio stream</li>" in html
    assert "<code>text</code> skipped: the video has no audio stream (install it)" in html
    table = html[: html.index("</table>")]
    assert "<td>probe voice text</td>" in table
    assert table.count("<td>") == 8


def test_a_video_of_which_nothing_is_known(make: Make) -> None:
    text = page(make(without=tuple(make().stages)), make("anna", "2"))
    assert "2 videos, 13.1 s in all." in text
    assert MARKDOWN.render(text).count("<h2>") == 2


def test_no_video_at_all() -> None:
    assert "0 videos" in page()


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "[x](http://evil)", "![x](y)", "a | b", "# head", "- item",
        "1. item", "`code`", "&lt;", "**bold**", "a\n\n# head", "\\", "http://evil.example",
        "<http://evil>", "~~x~~", "a\r\n---\nb", "\u202egnp.exe", "://",
    ],
)  # fmt: skip
def test_outside_text_shows_as_it_is_and_formats_nothing(make: Make, text: str) -> None:
    record = make(platform={"caption": text}, text={"appearances": []})
    tokens = MARKDOWN.parse(page(record))
    (caption,) = [t for t in tokens if t.type == "inline" and t.content.startswith("Caption: ")]
    kinds = {child.type for child in caption.children or []}
    assert kinds <= {"text", "text_special"}
    shown = "".join(child.content for child in caption.children or [])
    assert shown == "Caption: " + " ".join(text.replace("\u202e", "").split())


@given(st.text(st.characters(), max_size=400) | st.text("\\`*_[]()<>#|~!&;: \n-+=1.", max_size=40))
def test_any_text_stays_one_plain_line(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    html = MARKDOWN.renderInline(f"Caption: {escaped} end")
    assert "<" not in html
    shown = unescape(html.removeprefix("Caption: ").removesuffix(" end"))
    assert shown == re.sub(r"\\(.)", r"\1", escaped)
    assert len(shown) <= MAX_TEXT


def test_clock(make: Make) -> None:
    lengths = {59.94: "59.9 s", 60.0: "1:00", 245.2: "4:05", 3723.4: "1:02:03"}
    for seconds, shown in lengths.items():
        assert f"| {shown} |" in page(make(probe={"duration_s": seconds}))

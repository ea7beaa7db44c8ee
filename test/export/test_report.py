"""The readable report, through a real Markdown parser."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reelscope.export.facts import MAX_ANSWER, MAX_TEXT
from reelscope.export.report import Report, escape
from reelscope.records import SoundGroup, StageRecord, VideoRecord

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


def test_it_says_who_else_has_the_sound(make: Make) -> None:
    text = page(make())
    assert "Same sound: 2 other videos, first berta/7 (from 12.5 s of it, 20% slower)" in text
    entry = make().stages["sound_group"]
    assert isinstance(entry.value, SoundGroup)

    def told(**values: object) -> str:
        value = entry.value.model_copy(update=values) if entry.value else None
        return page(make(sound_group=entry.model_copy(update={"value": value})))

    first = f"{make().source.creator}/{make().source.video_id}"
    assert "Same sound: 1 other video; this one is the first" in told(group=first, videos=2)
    assert "Same sound" not in told(group=first, videos=1)


def test_it_names_every_track_of_the_library_once(make: Make) -> None:
    text = page(make())
    assert "Music: =Song, or “not” by Carla (recognised earlier, 5% faster)" in text
    assert text.count("Music: Long (the library, 25% faster)") == 1
    assert text.count("Music: Short (the library, 25% faster)") == 1


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


def described(make: Make, **change: Any) -> list[str]:
    """The lines of the page that a description adds."""
    with_it, without = page(make(describe=change)), page(make(without=("describe",)))
    return [line for line in with_it.splitlines() if line not in without.splitlines()]


def answers(**values: Any) -> dict[str, Any]:
    return {name: {"value": value, "confidence": 1, "evidence": []}
            for name, value in values.items()}  # fmt: skip


def test_the_description_stands_first(make: Make) -> None:
    text = page(make())
    assert text.index("- Description: A woman") < text.index("- Category") < text.index("- Caption")
    assert described(make) == [
        "- Description: A woman shows a lipstick.",
        "- Category: Beauty \\> Make-up",
        "- Selling points: product: lipstick; claim: It stays on all day. (“all day” 0.5 s)",
        "- Creative ideas: before and after, =speaks to the camera (“look at this” 0.5 s **not "
        "found**)",
        "- Not answered (the answer ended too early): Tone",
    ]


def test_each_answer_in_words_whatever_its_shape(make: Make) -> None:
    frame = {"source": "frame", "time_s": 1.0, "quote": None, "found": True}
    audience = {"age": ["18-24"], "gender": "all", "interests": [], "summary": "Young people."}
    given = answers(
        mood_of_it="calm",
        grade=3,
        share=0.25,
        is_fun=False,
        nothing=None,
        parts=[{"what": "cap", "proof": [frame], "sizes": ["S", "M"], "of": {"a": 1}}, {"what": 2}],
        sponsorship={"verdict": "likely", "indicators": ["code ANNA10", "a link"]},
        brand_safety=["alcohol", "gambling"],
        tone=["calm", "dry"],
        call_to_action="Try it.",
        target_demographics=audience,
    )
    assert described(make, dimensions=given, missing=[]) == [
        "- For: Young people.",
        "- Call to action: Try it.",
        "- Tone: calm, dry",
        "- Brand safety: alcohol, gambling",
        "- Sponsorship: likely, code ANNA10, a link",
        "- Mood of it: calm",
        "- Grade: 3",
        "- Share: 0.25",
        "- Is fun: no",
        "- Parts: what: cap; sizes: S, M; of: (a: 1) / what: 2",
    ]
    other = answers(target_demographics={"age": ["18-24"], "summary": None}, sponsorship="no")
    assert described(make, dimensions=other, missing=[]) == [
        "- For: age: 18-24", "- Sponsorship: no",
    ]  # fmt: skip


def test_what_the_video_does_not_have_is_named_first(make: Make) -> None:
    def quote(text: str | None, found: bool, time_s: float | None = None) -> dict[str, Any]:
        return {"source": "frame" if text is None else "speech", "time_s": time_s, "quote": text,
                "found": found}  # fmt: skip

    proof = [quote("a", True), quote("b", True, 12.26), quote(None, True, 1.0),
             quote(None, False, 1e300), quote("<c>", False)]  # fmt: skip
    given = {"tone": {"value": ["dry"], "confidence": 1, "evidence": proof}}
    assert described(make, dimensions=given, missing=[]) == [
        "- Tone: dry (frame 1e+300 s **not found**; “\\<c\\>” **not found**; “a”)"
    ]


@pytest.mark.parametrize(
    ("reason", "shown"), [("No: <b>", "No: \\<b\\>"), ("", "content\\_filter")]
)
def test_a_refusal_is_said(make: Make, reason: str, shown: str) -> None:
    refused = {"kind": "content_filter", "reason": reason}
    assert described(make, dimensions={}, missing=[], refusal=refused) == [
        f"- Description refused: {shown}"
    ]


HOSTILE = "<script>x</script> [x](http://evil)\n\n# head | `code` **b** \u202e"


def test_no_answer_can_format_the_page(make: Make) -> None:
    proof = {"source": "speech", "time_s": None, "quote": HOSTILE, "found": False}
    answer = {"value": HOSTILE, "confidence": 1, "evidence": [proof]}
    names = {"description": answer, HOSTILE: {**answer, "value": [{HOSTILE: [HOSTILE]}]}}
    refusal = {"kind": "refusal", "reason": HOSTILE}
    lines = described(make, dimensions=names, missing=[HOSTILE], refusal=refusal)
    assert len(lines) == 4
    html = MARKDOWN.render("\n".join(lines).replace("**not found**", ""))
    assert set(re.findall(r"<(\w+)", html)) == {"ul", "li"}


def test_a_long_answer_is_cut(make: Make) -> None:
    (line,) = described(make, dimensions=answers(description="word " * 9000), missing=[])
    assert MAX_TEXT < len(line) <= MAX_ANSWER + len("- Description: ")


def test_what_a_model_says_of_the_creator_stands_below_the_heading(make: Make) -> None:
    summary = {
        "tone": "dry", "overview": "Lipsticks | <b>", "recurring_themes": ["before", "after"],
        "audience": None, "products_and_brands": [], "recurring_formats": {"a": ["b"]},
        "model": "gpt-4o",
    }  # fmt: skip
    report = Report("anna", frames_link="x", summary=summary)
    report.add(make())
    head = report.render().split("| video |", 1)[0]
    assert head.split("in all.\n")[1].splitlines() == [
        "", "- Overview: Lipsticks \\| \\<b\\>", "- Recurring themes: before, after",
        "- Recurring formats: a: b", "- Tone: dry", "",
    ]  # fmt: skip
    html = MARKDOWN.render(report.render())
    assert html.index("<h1>") < html.index("<li>Overview") < html.index("<table>")
    without = Report("anna", frames_link="x", summary={})
    without.add(make())
    assert without.render() == page(make()).replace("../../tiktok_frames", "x")


def test_clock(make: Make) -> None:
    lengths = {59.94: "59.9 s", 60.0: "1:00", 245.2: "4:05", 3723.4: "1:02:03"}
    for seconds, shown in lengths.items():
        assert f"| {shown} |" in page(make(probe={"duration_s": seconds}))

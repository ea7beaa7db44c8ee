"""The page for looking at: what it says, what it holds, and that no text can change it."""

import base64
import hashlib
import json
import re
import tracemalloc
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.export.colours import CHOSEN, KIND_COLOURS, TEXT
from reelscope.export.html_page import cut, environment
from reelscope.export.html_report import HtmlReport
from reelscope.export.thumbnails import Room
from reelscope.media.pictures import write_jpeg
from reelscope.records import StageRecord, VideoRecord

Make = Callable[..., VideoRecord]
VOID = {"meta", "img"}
LINKS = {"href", "src", "action", "srcset", "data", "xlink:href", "poster", "background", "style"}


class Page(HTMLParser):
    """Reads a page and insists that every element is closed in its place."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = tuple(name for name, _ in attrs)
        assert len(set(names)) == len(names), (tag, names)
        self.shape.append((tag, names))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = self.raw.get(self.open[-1], "") + data
        else:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def html(
    *records: VideoRecord,
    root: Path = Path("nowhere"),
    creator: str = "anna",
    summary: dict[str, Any] | None = None,
    room: Room | None = None,
) -> str:
    link = "../../tiktok_frames"
    with HtmlReport(
        creator, frames_root=root, frames_link=link, summary=summary, room=room
    ) as report:
        for record in records:
            report.add(record)
        return "".join(report.pieces())


def save_frames(root: Path, record: VideoRecord, size: tuple[int, int] = (320, 180)) -> None:
    """Noise, which JPEG makes large."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for name in ("chosen 1.jpg", "chosen_0.jpg"):
        write_jpeg(root / record.source.frames_id / name, noise, 90)


# ------------------------------------------------------------------------ what it says


def test_it_says_what_was_found(make: Make) -> None:
    page = Page(html(make(), make(video_id="2", without=("describe", "probe"))))
    for part in (
        "anna", "Anna 🌻 1,200 followers", "2 videos", "13.1 s in all", "0 failed",
        "A woman shows a lipstick.", "Morning run with “friends”, 5 km", "35 % speech",
        "9.2 cuts/min", "Said Hello. Well, ask what you can do.", "SALE / now | -50 %",
        "Seen person 13.1 s, lipstick 2.2 s", "before and after, =speaks to the camera",
        "“ look at this ” 0.5 s not found", "0.00 s sharpest", "posted 2024-05-01",
        "Same sound 2 other videos, first berta/7",
    ):  # fmt: skip
        assert part in page.text, part
    assert page.shape.count(("article", ("class", "id"))) == 2
    titles = [text for text in page.texts if text.startswith("Timeline of")]
    assert titles[0] == (
        "Timeline of 13.1 s: speech over music 9.8 s, music 3.2 s, 2 cuts, "
        "3 texts on screen, 2 chosen frames"
    )


def test_what_is_missing_is_said_with_its_reason(
    make: Make, failed: StageRecord, skipped: StageRecord
) -> None:
    page = Page(html(make(probe=failed, voice=skipped), make(video_id="2", voice=skipped)))
    assert "2 skipped 1 failed" in page.text
    assert "voice skipped: the video has no audio stream 2" in page.text
    assert "probe failed: no stream | in it <b> 1" in page.text
    assert "2 not done probe failed: no stream | in it <b>" in page.text


def test_a_video_of_which_nothing_is_known_and_no_video_at_all(make: Make) -> None:
    bare = make(without=tuple(make().stages))
    assert "0 videos" in Page(html()).text
    page = Page(html(bare))
    assert "1 video" in page.text
    assert not [text for text in page.texts if text.startswith("Timeline of")]
    assert "Distributions" not in page.text


def test_columns_that_no_video_fills_are_hidden(make: Make) -> None:
    (table,) = [v for v in Page(html(make())).values("class") if v.startswith("rs-table")]
    assert table == "rs-table no-c4"  # words/min: the sample counts syllables
    assert Page(html(make())).values("data-value")[0] == "13.1"


def test_what_a_model_says_of_the_creator(make: Make) -> None:
    page = Page(html(make(), summary={"overview": "Lip<b>sticks", "model": "gpt"}))
    assert "Overview Lip<b>sticks" in page.text
    assert "gpt" not in page.text


def test_links_lead_to_the_files_that_the_record_stands_for(make: Make) -> None:
    links = Page(html(make(video_id="a b&c"))).values("href")
    assert "a%20b%26c/record.json" in links
    assert "a%20b%26c/subtitles.vtt" in links
    assert "../../tiktok_frames/a%20b%26c/" in links
    assert {"#v1", "anna.csv", "anna.json", "report.md"} < set(links)
    few = Page(html(make(without=("transcribe", "events", "voice", "speech_rate"))))
    assert [link for link in few.values("href") if link.startswith("1/")] == ["1/record.json"]


# -------------------------------------------------------------------------- pictures


def test_chosen_frames_are_inside_the_page(make: Make, tmp_path: Path) -> None:
    record = make()
    save_frames(tmp_path, record)
    page = Page(html(record, root=tmp_path))
    sources = page.values("src")
    assert len(sources) == 4, "two tiles, two frames"
    for source in sources:
        data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"), validate=True)
        assert data[:2] == b"\xff\xd8"
    assert all(page.values("alt"))
    assert "a woman holding a bottle, at 0.00 s" in page.values("alt")
    assert "../../tiktok_frames/1/chosen%201.jpg" in page.values("href")


def test_a_frame_that_is_gone_is_named(make: Make, tmp_path: Path) -> None:
    record = make()
    save_frames(tmp_path, record)
    (tmp_path / "1" / "chosen 1.jpg").unlink()
    (tmp_path / "1" / "chosen_0.jpg").write_bytes(b"no picture")
    page = Page(html(record, root=tmp_path))
    assert page.values("src") == []
    assert "chosen 1.jpg is no longer on disk" in page.text
    assert "chosen_0.jpg is no longer on disk" in page.text


def test_a_record_cannot_put_other_files_into_the_page(make: Make, tmp_path: Path) -> None:
    record = make()
    save_frames(tmp_path, record)
    frame = {"time_s": 0.0, "score": 1, "reason": "", "width": 1, "height": 1, "bytes_before": 1,
             "bytes_after": 1}  # fmt: skip
    for name in ("../1/chosen_0.jpg", str(tmp_path / "1" / "chosen_0.jpg"), "..", "", "\0"):
        moved = make(choose={"frames": [{**frame, "file": name}]})
        assert Page(html(moved, root=tmp_path)).values("src") == [], name
    for name in ("../1", ".", str(tmp_path / "1"), "x/../1"):
        source = record.source.model_copy(update={"frames_id": name})
        moved = record.model_copy(update={"source": source})
        assert Page(html(moved, root=tmp_path)).values("src") == [], name


def test_a_page_has_room_for_so_much(make: Make, tmp_path: Path) -> None:
    records = [make(video_id=str(k)) for k in range(10)]
    for record in records:
        save_frames(tmp_path, record)
    one = len(html(records[0], root=tmp_path)) - len(html(records[0]))
    room = Room(all_bytes=2 * one, best_bytes=4 * one, cards_bytes=10**9)
    text = html(*records, root=tmp_path, room=room)
    page = Page(text)
    shown = {
        k: sum(f"Frame of video {k}" in alt or "bottle" in alt for alt in alts)
        for k, alts in enumerate(_alts_by_card(text))
    }
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    assert set(shown.values()) == {2, 1, 0}
    left = 20 - sum(shown.values())
    assert f"it leaves out {left} chosen frames" in page.text
    assert "1 more chosen frame in the folder" in page.text
    few = Page(html(*records, room=Room(cards_bytes=20_000)))
    cards = few.shape.count(("article", ("class", "id")))
    assert 0 < cards < 10
    assert f"the details of {10 - cards} videos" in few.text
    assert len([v for v in few.values("scope") if v == "row"]) == 10, "the table has all"


def _alts_by_card(text: str) -> list[list[str]]:
    return [re.findall(r'alt="([^"]*)"', card) for card in text.split("<article")[1:]]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_videos(make: Make) -> None:
    record = make()
    sources = [record.source.model_copy(update={"video_id": f"{k:04}"}) for k in range(1200)]
    held, length = {}, {}
    for count in (150, 1200):
        tracemalloc.start()
        with HtmlReport("anna", frames_root=Path("nowhere"), frames_link="x") as report:
            for source in sources[:count]:
                report.add(record.model_copy(update={"source": source}))
            length[count] = sum(len(piece) for piece in report.pieces())
        held[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert length[1200] > length[150] + 5_000_000
    assert held[1200] < held[150] + 2_000_000


# ------------------------------------------------------------------- no text changes it

HOSTILE = [
    "<script>alert(1)</script>", "</title></style></script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)', "' autofocus onfocus='alert(1)", "javascript:alert(1)",
    "{{ 7 * 7 }} {% include 'x' %}", "<!--", "]]>", "&lt;b&gt;", "<svg/onload=alert(1)>",
    "\u202egnp.exe\u2066", "a\x00b\x1b[31m\x7f", "http://evil.example/", "<base href=//evil>",
    "\U000e0041\U000e0042 tag block", "x\u2028y\u2029z", "=1+1", "\ufeff",
]  # fmt: skip


PLACE = "plain"


class Json(str):
    """Of a whole record: named in a failed test, not printed."""

    def __repr__(self) -> str:
        return "everywhere"


@pytest.fixture(scope="module")
def everywhere(make: Make) -> Json:
    """A record as JSON with PLACE wherever a text from outside can stand."""
    text = PLACE
    box = [[0, 0], [1, 0], [1, 1], [0, 1]]
    answer = {"value": text, "confidence": 1, "evidence": [
        {"source": "speech", "time_s": 1.0, "quote": text, "found": False}]}  # fmt: skip
    frame = {"time_s": 1.0, "score": 1, "reason": text, "file": text, "width": 1, "height": 1,
             "bytes_before": 1, "bytes_after": 1}  # fmt: skip
    failed = {"status": "failed", "key": "0", "engine": text, "kind": text, "message": text}
    skipped = {"status": "skipped", "key": "0", "engine": text, "reason": text, "remedy": text}
    record = make(
        platform={"caption": text, "author": {"nickname": text}},
        transcribe={"text": text},
        text={"appearances": [{"text": text, "start_s": 0, "end_s": 2, "confidence": 1,
                               "box": box, "frames": 1}]},
        choose={"frames": [frame]},
        caption={"frames": [{"time_s": 1.0, "file": text, "text": text}]},
        describe={"dimensions": {"description": answer, "own": {**answer, "value": [{text: text}]}},
                  "missing": [text], "refusal": {"kind": "refusal", "reason": text}},
        voice=StageRecord.model_validate(failed),
        shots=StageRecord.model_validate(skipped),
    )  # fmt: skip
    source = record.source.model_copy(
        update={"video_id": text, "frames_id": text, "url": text, "creator": text}
    )
    return Json(record.model_copy(update={"source": source}).model_dump_json())


def poisoned_page(everywhere: str, text: str) -> str:
    record = VideoRecord.model_validate_json(everywhere.replace(PLACE, json.dumps(text)[1:-1]))
    assert record.source.url == text
    return html(record, creator=text, summary={"overview": text, "tone": [text]})


def check_harmless(everywhere: str, text: str) -> None:
    written = poisoned_page(everywhere, text)
    page = Page(written)
    usual = Page(poisoned_page(everywhere, PLACE)).shape
    assert page.shape == usual, "elements and attributes are those of any other page"
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in LINKS:
            assert re.match(r"[\w.%#~-]", value), (tag, name, value)
            assert ":" not in value, (tag, name, value)
    odd = {c for c in written if unicodedata.category(c) in ("Cc", "Cs", "Cf")}
    assert odd <= {"\n", "\u200c", "\u200d"}
    written.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_change_nothing(everywhere: str, text: str) -> None:
    check_harmless(everywhere, f"{text}x")


@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_text_changes_the_page(everywhere: str, text: str) -> None:
    check_harmless(everywhere, f"a{text}")


def test_a_lone_surrogate_is_left_out(make: Make) -> None:
    record = make()
    broken = record.model_copy(
        update={"source": record.source.model_copy(update={"video_id": "7\ud83d8"})}
    )
    assert cut("7\ud83d8") == "78"
    with pytest.raises(UnicodeEncodeError):
        broken.source.video_id.encode()
    template = environment().from_string("{{ text }}")
    assert template.render(text="a\udfffb<") == "ab&lt;"


def test_a_huge_text_is_cut(make: Make) -> None:
    small, large = (
        html(make(platform={"caption": c})) for c in ("word " * 80, "\u202eword " * 200_000)
    )
    assert abs(len(large) - len(small)) < 200


@given(st.text(max_size=80), st.integers(2, 40))
def test_a_cut_text_is_never_longer(text: str, longest: int) -> None:
    assert len(cut(text, longest)) <= longest


# ------------------------------------------------------------------------ the page itself


def test_nothing_is_loaded_and_only_the_own_script_may_run(make: Make, tmp_path: Path) -> None:
    record = make()
    save_frames(tmp_path, record)
    page = Page(html(record, root=tmp_path))
    (policy,) = [v for v in page.values("content") if "default-src" in v]
    rules = dict(part.split(" ", 1) for part in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[name].encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"
    assert {tag for tag, _ in page.shape}.isdisjoint({"link", "iframe", "object", "embed", "base"})
    assert all(value.startswith("data:image/jpeg;") for value in page.values("src"))
    assert not re.search(r"@import|url\(|https?:", page.raw["style"] + page.raw["script"])
    assert page.values("style") == []


def test_the_colours_are_those_of_every_other_picture(make: Make) -> None:
    style = Page(html(make())).raw["style"]
    light = style[: style.index("@media")]
    names = {"speech": "speech", "music": "music", "speech_over_music": "over", "other": "other",
             "silence": "silence"}  # fmt: skip
    for kind, colour in KIND_COLOURS.items():
        assert f"--{names[kind]}: {colour};" in light
    assert f"--chosen: {CHOSEN};" in light
    assert f"--text: {TEXT};" in light


def test_it_can_be_read_by_everybody(make: Make, tmp_path: Path) -> None:
    record = make()
    save_frames(tmp_path, record)
    page = Page(html(record, root=tmp_path))
    assert page.values("lang") == ["en"]
    images = [names for tag, names in page.shape if tag == "img"]
    assert all({"alt", "width", "height"} <= set(names) for names in images)
    drawn = [k for k, (tag, names) in enumerate(page.shape) if tag == "svg" and "role" in names]
    assert drawn
    assert {page.shape[k + 1][0] for k in drawn} == {"title"}
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


def test_numbers_of_drawings_are_plain_and_inside(make: Make) -> None:
    page = Page(html(make(), make(video_id="2", probe={"duration_s": 1e300})))
    for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "r"):
        for value in page.values(name):
            assert re.fullmatch(r"-?\d+(\.\d+)?%?", value), (name, value)
            assert not value.endswith("%") or 0 <= float(value[:-1]) <= 100, (name, value)


def test_a_very_busy_video_gives_a_small_strip(make: Make) -> None:
    kinds = ["speech", "music"]
    timeline = [{"start_s": k / 10, "end_s": (k + 1) / 10, "kind": kinds[k % 2], "confidence": 1}
                for k in range(5000)]  # fmt: skip
    cuts = [{"time_s": k / 10, "kind": "cut", "score": 1} for k in range(5000)]
    box = [[0, 0], [1, 0], [1, 1], [0, 1]]
    texts = [{"text": f"text {k}", "start_s": k / 10, "end_s": k / 10 + 5, "confidence": 1,
              "box": box, "frames": 1} for k in range(3000)]  # fmt: skip
    record = make(probe={"duration_s": 500}, events={"timeline": timeline},
                  shots={"cuts": cuts}, text={"appearances": texts})  # fmt: skip
    page = Page(html(record))
    assert sum(tag in ("rect", "line") for tag, _ in page.shape) < 1200
    assert "5,000 cuts, 3,000 texts on screen" in page.text

"""What is said to be seen, heard or read is looked up in what was given."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.description.answer import RawAnswer, RawEvidence
from reelscope.description.evidence import Given, check_evidence, normal_form
from reelscope.records import Evidence, EvidenceSource
from reelscope.settings.description import AnswerField, Dimension

GIVEN = Given(
    frames_s=(7.5, 0.033367, 2.5),
    words={
        "speech": (
            (0.5, "Hi, I'm Zoë."),
            (2.0, "This SERUM is"),
            (3.5, "— amazing! I love it"),
            (9.0, "I love it so much"),
        ),
        "screen_text": ((1.0, "50 % OFF"), (4.0, "买二送一,仅限今天"), (5.0, "只要iPhone手机"),
                        (6.0, "ครีมกันแดดหน้าใส"), (6.5, "คิดถึง")),
        "caption": ((None, "My new serum ❤️ #GlowUp @brand_x"),),
        "object": ((2.5, "bottle"), (2.5, "cup"), (7.5, "bottle")),
        "sound": (),
    },
)  # fmt: skip


def look_up(
    source: EvidenceSource, *, quote: str | None = None, time_s: float | None = None,
    given: Given = GIVEN,
) -> Evidence:  # fmt: skip
    answer = RawAnswer("x", 0.5, (RawEvidence(source, time_s, quote),))
    checked = check_evidence({"a": answer}, [Dimension(name="a")], given)
    (entry,) = checked["a"].evidence
    assert (entry.source, entry.quote) == (source, quote)
    return entry


@pytest.mark.parametrize(
    ("named", "found", "time_s"),
    [
        (2.5, True, 2.5),
        (2.74, True, 2.5),
        (2.25, True, 2.5),
        (2.2, False, 2.2),
        (0.0, True, 0.033367),
        (7.4, True, 7.5),
        (1e300, False, 1e300),
    ],
)
def test_frames(named: float, found: bool, time_s: float) -> None:
    entry = look_up("frame", time_s=named)
    assert (entry.found, entry.time_s) == (found, time_s)


def test_no_frames_were_sent() -> None:
    entry = look_up("frame", time_s=1.0, given=Given((), {}))
    assert (entry.found, entry.time_s) == (False, 1.0)


@pytest.mark.parametrize(
    ("source", "quote", "time_s"),
    [
        ("speech", "this serum", 2.0),
        ("speech", "“This serum is amazing.”", 2.0),  # over two pieces
        ("speech", "serum is amazing i love", 2.0),
        ("speech", "I'm zoë", 0.5),
        ("speech", "I’m ZOE\u0308!", 0.5),  # another apostrophe, a mark of its own
        ("speech", "amazing", 3.5),
        ("speech", "ｓｅｒｕｍ", 2.0),  # full width
        ("screen_text", "50% off", 1.0),
        ("screen_text", "仅限今天", 4.0),
        ("screen_text", "送一仅限", 4.0),
        ("screen_text", "今天 只要", 4.0),  # over two pieces
        ("screen_text", "iphone", 5.0),
        ("screen_text", "iPhone 手机", 5.0),
        ("screen_text", "กันแดด", 6.0),
        ("caption", "#glowup", None),
        ("caption", "serum ❤ glowup", None),
        ("caption", "@brand_x", None),
        ("object", "Bottle", 2.5),
        ("object", "cup", 2.5),
    ],
)
def test_words_that_are_there(source: EvidenceSource, quote: str, time_s: float | None) -> None:
    entry = look_up(source, quote=quote)
    assert (entry.found, entry.time_s) == (True, time_s)


@pytest.mark.parametrize(
    ("source", "quote"),
    [
        ("speech", "ser"),  # whole words only
        ("speech", "his serum"),
        ("speech", "this serum was"),
        ("speech", "amazing serum"),
        ("speech", "50 % off"),  # stands in another source
        ("speech", "!?"),
        ("speech", "❤️"),
        ("screen_text", "phone"),
        ("screen_text", "5"),
        ("screen_text", "送三"),
        ("sound", "bottle"),
        ("music", "bottle"),
    ],
)
def test_words_that_are_not_there(source: EvidenceSource, quote: str) -> None:
    entry = look_up(source, quote=quote, time_s=4.25)
    assert (entry.found, entry.time_s) == (False, 4.25)


def test_of_several_places_the_nearest_to_the_named_time_counts() -> None:
    assert look_up("speech", quote="I love it").time_s == 3.5
    assert look_up("speech", quote="I love it", time_s=10.0).time_s == 9.0
    assert look_up("object", quote="bottle", time_s=6.0).time_s == 7.5
    assert look_up("caption", quote="serum", time_s=6.0).time_s is None  # a caption has no time


def test_evidence_within_values() -> None:
    entry = {"source": "speech", "time_s": None, "quote": "serum"}
    claim = (AnswerField(name="claim"), AnswerField(name="evidence", type="evidence"))
    dimensions = [
        Dimension(name="claims", type="objects", fields=claim, evidence=False),
        Dimension(
            name="one",
            type="object",
            fields=(AnswerField(name="inner", type="object", optional=True, fields=claim),),
        ),
        Dimension(name="absent"),
    ]
    answers = {
        "one": RawAnswer({"inner": {"claim": "b", "evidence": [entry]}}, 0.2),
        "claims": RawAnswer(
            [{"claim": "a", "evidence": [entry, {**entry, "quote": "nothing"}]}], 0.9
        ),
    }
    checked = check_evidence(answers, dimensions, GIVEN)
    there = {"source": "speech", "time_s": 2.0, "quote": "serum", "found": True}
    not_there = {"source": "speech", "time_s": None, "quote": "nothing", "found": False}
    assert list(checked) == ["claims", "one"]
    assert checked["claims"].value == [{"claim": "a", "evidence": [there, not_there]}]
    assert checked["claims"].confidence == 0.9
    assert checked["one"].value == {"inner": {"claim": "b", "evidence": [there]}}
    nothing = check_evidence({"one": RawAnswer({"inner": None}, 0.2)}, dimensions, GIVEN)
    assert nothing["one"].value == {"inner": None}


def test_normal_form() -> None:
    assert normal_form("  It's—50％ «OFF»\u200b!\n") == "it s 50 off"
    assert normal_form("買2送1 吧") == "買 2 送 1 吧"
    assert normal_form("你好, 世界") == "你好世界"
    assert normal_form("हिन्दी") == "हिन्दी"
    assert normal_form("Straße") == "strasse"
    assert normal_form("\ud800 ❤️ \x00") == ""


def test_hostile_texts_take_linear_time() -> None:
    letters = [(float(second), "a" * 50) for second in range(2000)]
    given = Given((), {"speech": (*letters, (0.0, "ก" * 100_000))})
    begun = time.monotonic()
    for quote in ("a" * 20_000, "ก" * 20_000, "a " * 10_000, "a", "ก", " " * 20_000):
        look_up("speech", quote=quote, time_s=3.0, given=given)
    assert time.monotonic() - begun < 10


words = st.lists(
    st.sampled_from(["Glow", "the", "SERUM", "it's", "你好", "世界", "กันแดด", "50%", "❤️", "naïve"])
    | st.text(max_size=5),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(words, min_size=1, max_size=5), st.data())
def test_whole_words_of_a_source_are_found(pieces: list[list[str]], data: st.DataObject) -> None:
    speech = tuple((float(second), " ".join(piece)) for second, piece in enumerate(pieces))
    flat = [(float(n), word) for n, piece in enumerate(pieces) for word in piece]
    start = data.draw(st.integers(0, len(flat) - 1))
    end = data.draw(st.integers(start + 1, len(flat)))
    quoted = [(time_s, word) for time_s, word in flat[start:end] if normal_form(word)]
    quote = " ".join(word for _, word in flat[start:end])
    entry = look_up("speech", quote=quote, given=Given((), {"speech": speech}))
    assert entry.found == bool(quoted)
    if quoted:
        assert entry.time_s is not None
        assert entry.time_s <= quoted[0][0]  # there, or somewhere before


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30))
def test_the_normal_form_stays_as_it_is(text: str) -> None:
    once = normal_form(text)
    assert normal_form(once) == once
    assert once == once.strip()
    assert "  " not in once

"""On-screen text: reading, scaling, and appearances over time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reelscope.media.images import RGB
from reelscope.records import Box, TextLine
from reelscope.vision.text import merge, normal, read_lines

DIAGONAL = 1000.0


def box(x: float, y: float, *, width: float = 100, height: float = 20) -> Box:
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def line(text: str, x: float = 50, y: float = 50, confidence: float = 0.9) -> TextLine:
    return TextLine(text=text, confidence=confidence, box=box(x, y))


def merged(
    looks: list[tuple[float, list[TextLine]]],
    cuts_s: tuple[float, ...] = (),
    end_s: float | None = None,
) -> list[tuple[str, float, float]]:
    found = merge(looks, min_similarity=0.8, diagonal_px=DIAGONAL, cuts_s=cuts_s, end_s=end_s)
    return [(text.text, text.start_s, text.end_s) for text in found]


class Fixed:
    """A reader that answers with lines in the picture it was given, and keeps its size."""

    engine = "fixed 1"

    def __init__(self, *lines: TextLine) -> None:
        self.lines = list(lines)
        self.shapes: list[tuple[int, ...]] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read(self, image: RGB) -> list[TextLine]:
        self.shapes.append(image.shape)
        return self.lines


def test_boxes_come_back_in_pixels_of_the_full_frame() -> None:
    reader = Fixed(TextLine(text="SALE", confidence=0.9, box=box(10, 20, width=30, height=10)))
    image = np.zeros((1920, 1080, 3), np.uint8)
    (found,) = read_lines(image, reader, max_side=960, min_confidence=0.5)
    assert reader.shapes == [(960, 540, 3)]
    assert found.box == ((20, 40), (80, 40), (80, 60), (20, 60))


def test_small_pictures_are_not_enlarged_and_weak_readings_are_dropped() -> None:
    reader = Fixed(line("SALE", confidence=0.4), line("  ", confidence=0.9), line("OK"))
    found = read_lines(np.zeros((90, 160, 3), np.uint8), reader, max_side=960, min_confidence=0.5)
    assert reader.shapes == [(90, 160, 3)]
    assert [text.text for text in found] == ["OK"]


def test_one_text_over_several_looks_is_one_appearance() -> None:
    looks = [(0.0, [line("HALF PRICE")]), (1.0, [line("HALF PR1CE")]), (2.0, [line("half price!")])]
    (found,) = merge(looks, min_similarity=0.8, diagonal_px=DIAGONAL)
    assert (found.start_s, found.end_s, found.frames) == (0.0, 2.0, 3)
    assert found.text.lower().startswith("half price")


def test_different_texts_and_places_stay_apart() -> None:
    looks = [(0.0, [line("SALE"), line("SALE", y=600), line("NOW", y=300)])]
    assert len(merged(looks)) == 3


def test_a_missed_look_is_bridged_but_a_long_absence_is_not() -> None:
    assert merged([(0, [line("SALE")]), (1, []), (2, [line("SALE")])]) == [("SALE", 0, 2)]
    assert merged([(0, [line("SALE")]), (1, []), (2, []), (3, []), (4, [line("SALE")])]) == [
        ("SALE", 0, 0),
        ("SALE", 4, 4),
    ]


def test_cuts_say_where_a_text_came_and_went() -> None:
    looks = [(0, [line("ONE")]), (1, [line("ONE")]), (2, [line("TWO")]), (3, [line("TWO")])]
    assert merged(looks, cuts_s=(1.5,), end_s=3.4) == [("ONE", 0, 1.5), ("TWO", 1.5, 3.4)]


def test_a_cut_does_not_end_a_text_that_stays() -> None:
    looks = [(0, [line("BRAND")]), (2, [line("BRAND")])]
    assert merged(looks, cuts_s=(1.0,)) == [("BRAND", 0, 2)]


def test_a_typed_caption_grows_into_one_appearance() -> None:
    looks = [(0, [line("Why")]), (0.5, [line("Why is the")]), (1, [line("Why is the sky blue?")])]
    assert merged(looks) == [("Why is the sky blue?", 0, 1)]


def test_letters_and_digits_alone_count() -> None:
    assert normal("  Größe: ４２ cm! ") == "grösse42cm"
    assert normal("→ ★") == "→ ★"
    assert normal("你好，世界") == "你好世界"


TEXTS = st.sampled_from(["SALE", "HALF PRICE", "Why is the sky blue?", "你好", "42"])
LOOKS = st.lists(
    st.lists(st.tuples(TEXTS, st.integers(0, 900), st.integers(0, 900)), max_size=4), max_size=12
)


@given(LOOKS, st.lists(st.floats(0, 12), max_size=4))
def test_every_reading_is_in_one_appearance_at_its_time(
    read: list[list[tuple[str, int, int]]], cuts: list[float]
) -> None:
    looks = [
        (float(number), [line(text, x, y) for text, x, y in texts])
        for number, texts in enumerate(read)
    ]
    end_s = float(len(read))
    found = merge(looks, min_similarity=0.8, diagonal_px=DIAGONAL, cuts_s=sorted(cuts), end_s=end_s)
    assert sum(text.frames for text in found) == sum(len(texts) for texts in read)
    for text in found:
        assert 0 <= text.start_s <= text.end_s <= end_s
    for time_s, lines in looks:
        on_screen = [text for text in found if text.start_s <= time_s <= text.end_s]
        assert len(on_screen) >= len(lines)

"""How a measure is spread over videos."""

from hypothesis import given
from hypothesis import strategies as st

from reelscope.export.histogram import HEIGHT_PX, MOST_BARS, Histogram, Spread, histogram

NAME = Spread("Length", "s")


def drawn(values: list[float], spread: Spread = NAME) -> Histogram:
    found = histogram(values, spread)
    assert found is not None
    return found


def test_bars_have_round_ends_and_say_how_many() -> None:
    found = drawn([1.0, 2.0, 2.5, 3.0, 9.0, 11.0, 12.0, 28.0, 31.0])
    assert (found.low, found.high, found.values, found.median) == ("0", "35", 9, "9")
    assert [bar.title for bar in found.bars] == [
        "0 to 5 s: 4 videos", "5 to 10 s: 1 video", "10 to 15 s: 2 videos",
        "25 to 30 s: 1 video", "30 to 35 s: 1 video",
    ]  # fmt: skip
    assert found.bars[0].height == f"{HEIGHT_PX:.1f}"
    assert found.dots == ()


def test_few_values_are_dots_and_equal_ones_stand_on_each_other() -> None:
    found = drawn([5.0, 5.0, 7.0])
    assert found.bars == ()
    assert [dot.title for dot in found.dots] == ["5 s", "5 s", "7 s"]
    assert found.dots[0].x == found.dots[1].x
    assert found.dots[0].y != found.dots[1].y


def test_shares_have_an_axis_of_their_own() -> None:
    found = drawn([0.1, 0.35] * 4, Spread("Speech", "%", factor=100, ends=(0.0, 100.0)))
    assert (found.low, found.high, found.median) == ("0", "100", "22")
    assert [bar.title for bar in found.bars] == ["10 to 20 %: 4 videos", "30 to 40 %: 4 videos"]


def test_counts_have_no_halves() -> None:
    found = drawn([5.0] * 9, Spread("Texts", least_step=1))
    assert (found.low, found.high) == ("3", "7")


def test_one_value_is_no_distribution() -> None:
    assert histogram([1.0], NAME) is None
    assert histogram([], NAME) is None
    assert histogram([-1.7e308, 1.7e308], NAME) is None, "their distance is no number"


@given(
    st.lists(st.floats(-1e12, 1e12) | st.floats(-1, 1), min_size=2, max_size=60),
    st.sampled_from([NAME, Spread("Texts", least_step=1), Spread("x", "%", 100, (0.0, 100.0))]),
)
def test_every_value_has_its_place(values: list[float], spread: Spread) -> None:
    found = drawn([round(value, 6) for value in values], spread)
    counted = sum(
        int(bar.title.split(": ")[1].split(" ")[0].replace(",", "")) for bar in found.bars
    )
    assert counted + len(found.dots) == len(values)
    assert len(found.bars) <= MOST_BARS + 1
    for shape in (*found.bars, *found.dots):
        assert 0 <= float(shape.x) <= 100
        assert 0 <= float(shape.y) <= HEIGHT_PX
        assert 0 <= float(shape.height) <= HEIGHT_PX

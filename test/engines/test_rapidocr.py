"""The packaged reader on pictures whose words are known."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from reelscope.engines import rapidocr
from reelscope.engines.rapidocr import RapidOcrReader
from reelscope.errors import EngineUnavailable
from reelscope.media.images import RGB
from reelscope.testing.pictures import Caption, Scene
from reelscope.vision.appearances import normal
from reelscope.vision.text import read_lines


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    made = RapidOcrReader()
    made.open()
    return made


def card(
    text: str, *, colour: tuple[int, int, int], background: int = 30, scale: float = 1.2
) -> RGB:
    image = np.full((240, 480, 3), background, np.uint8)
    image[:, :, 1] += np.linspace(0, 60, 480, dtype=np.uint8)
    cv2.putText(image, text, (30, 130), cv2.FONT_HERSHEY_DUPLEX, scale, colour, 2, cv2.LINE_AA)
    return image


@pytest.mark.parametrize(
    ("text", "colour"),
    [("HALF PRICE TODAY", (255, 255, 255)), ("save 25 percent", (255, 220, 40))],
)
def test_words_and_place(reader: RapidOcrReader, text: str, colour: tuple[int, int, int]) -> None:
    lines = reader.read(card(text, colour=colour))
    assert normal("".join(line.text for line in lines)) == normal(text)
    corners = np.array([line.box for line in lines]).reshape(-1, 2)
    assert corners[:, 0].min() == pytest.approx(30, abs=15)
    assert 95 <= corners[:, 1].min() <= corners[:, 1].max() <= 150
    assert all(line.confidence > 0.8 for line in lines)


CAPTIONS = {
    "outlined": Caption("Wait for it", plate=None),
    "on a plate": Caption("3 tips you need", plate=(255, 255, 255), colour=(10, 10, 10)),
    "coloured": Caption("use code SAVE20", plate=None, colour=(255, 220, 0)),
    "small": Caption("recipe in the comments", size=0.035),
    "two lines": Caption("day 17\nof thirty"),
    "German": Caption("Größe 42 – nur 19,99 €"),
    "Spanish": Caption("¿Qué pasó aquí?"),
    "Polish": Caption("Łódź jest piękna"),
    "Turkish": Caption("çok güzel bir gün"),
}


@pytest.mark.parametrize("how", CAPTIONS)
def test_captions_on_phone_video(reader: RapidOcrReader, how: str) -> None:
    image = Scene(1.0, colour=(150, 120, 90), captions=(CAPTIONS[how],)).picture(0, (1080, 1920))
    lines = read_lines(image, reader, max_side=960, min_confidence=0.6)
    assert normal("".join(line.text for line in lines)) == normal(CAPTIONS[how].text)


@pytest.mark.parametrize("angle", [-8, 8])
def test_slanted_words(reader: RapidOcrReader, angle: float) -> None:
    scene = Scene(1.0, colour=(150, 120, 90), captions=(Caption("HALF PRICE", centre=(0.5, 0.5)),))
    turn = cv2.getRotationMatrix2D((270, 480), angle, 1.0)
    image = cv2.warpAffine(scene.picture(0, (540, 960)), turn, (540, 960), borderMode=2)
    (line,) = reader.read(np.asarray(image, np.uint8))
    assert normal(line.text) == "halfprice"
    (x0, y0), (x1, y1) = line.box[:2]
    assert np.degrees(np.arctan2(y0 - y1, x1 - x0)) == pytest.approx(angle, abs=3)


def test_a_script_that_it_does_not_know_gives_nothing_sure(reader: RapidOcrReader) -> None:
    image = Scene(1.0, captions=(Caption("Как дела сегодня"),)).picture(0, (540, 960))
    assert read_lines(image, reader, max_side=960, min_confidence=0.6) == ()


@pytest.mark.slow
def test_pictures_without_words_have_none(reader: RapidOcrReader) -> None:
    for seed in range(4):
        image = Scene(1.0, seed=seed).picture(0, (540, 960))
        assert read_lines(image, reader, max_side=960, min_confidence=0.6) == ()


@pytest.mark.parametrize(
    "shape", [(1, 1), (16, 8192), (8192, 16), (29, 400), (31, 1990), (64, 9000)]
)
def test_odd_sizes_hold_no_text_and_do_no_harm(
    reader: RapidOcrReader, shape: tuple[int, int]
) -> None:
    assert reader.read(np.zeros((*shape, 3), np.uint8)) == []


def test_several_threads_read_the_same(reader: RapidOcrReader) -> None:
    image = card("HALF PRICE TODAY", colour=(255, 255, 255))
    alone = reader.read(image)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(reader.read(image))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone, alone]


def test_a_missing_model_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapidocr, "DETECTOR", "absent.onnx")
    with pytest.raises(EngineUnavailable, match=r"absent\.onnx") as error:
        RapidOcrReader().open()
    assert "pip install" in error.value.remedy


def test_it_says_who_it_is() -> None:
    assert RapidOcrReader().engine.startswith("rapidocr 3.")

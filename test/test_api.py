"""The public functions: the command line's work as one call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import reelscope
from reelscope.errors import UsageError
from reelscope.records import Probe
from reelscope.settings import Settings
from reelscope.testing import media

ONLY = ["probe"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"paths": {"data": tmp_path / "data"}})


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "anna" / "b.mp4", tmp_path / "anna" / "a.mp4"]
    for seconds, path in enumerate(paths, start=1):
        path.parent.mkdir(exist_ok=True)
        media.write_video(path, [media.Scene(seconds)], size=(64, 112))
    return paths


def test_one_record_per_video_in_the_order_of_the_call(
    videos: list[Path], settings: Settings
) -> None:
    analysis = reelscope.analyze(videos, settings=settings, only=ONLY)
    assert len(analysis) == 2
    assert [record.source.video_id for record in analysis] == ["b", "a"]
    assert analysis[1].source.path == str(videos[1])
    lengths_s = [record.stages["probe"].value for record in analysis]
    assert [v.duration_s for v in lengths_s if isinstance(v, Probe)] == pytest.approx([1, 2])


def test_it_leaves_the_same_files_as_the_command_line(
    videos: list[Path], settings: Settings, tmp_path: Path
) -> None:
    analysis = reelscope.analyze(str(videos[0]), settings=settings, batch_id="mine", only=ONLY)
    assert analysis.folder == tmp_path / "data" / "results" / "mine"
    assert (analysis.folder / "video_features_results.csv").is_file()
    assert (tmp_path / "data" / "analysis_results" / "anna" / "b" / "record.json").is_file()


def test_a_second_call_makes_nothing_again(videos: list[Path], settings: Settings) -> None:
    reelscope.analyze(videos[0].parent, settings=settings, only=ONLY)
    again = reelscope.analyze(videos[0].parent, settings=settings, only=ONLY)
    assert again.summary.videos_from_earlier_run == 2


def test_a_clip_shows_what_the_record_holds(videos: list[Path], settings: Settings) -> None:
    record = reelscope.analyze(videos[0], settings=settings, only=ONLY)[0]
    with reelscope.open_clip(record, settings=settings) as clip:
        probe = clip.value(Probe)
        assert probe is not None
        assert probe.duration_s == clip.info.duration_s
        assert next(clip.full([0.0]))[1].shape == (112, 64, 3)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"paths": "absent.mp4"}, "absent.mp4"),
        ({"paths": []}, "no video"),
        ({"only": ["flavour"]}, "flavour"),
        ({"batch_id": "../out"}, "cannot be named"),
    ],
)
def test_a_wrong_call_is_refused(
    wrong: dict[str, object], said: str, videos: list[Path], settings: Settings, tmp_path: Path
) -> None:
    call: dict[str, object] = {"paths": videos, "settings": settings, **wrong}
    with pytest.raises(UsageError, match=said):
        reelscope.analyze(**call)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


def test_the_package_offers_its_functions_without_loading_them() -> None:
    code = (
        "import reelscope, sys\n"
        "assert 'reelscope.api' not in sys.modules and 'numpy' not in sys.modules\n"
        "from reelscope.api import analyze\n"
        "assert reelscope.analyze is analyze\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(hasattr(reelscope, name) for name in reelscope.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = reelscope.nothing  # type: ignore[attr-defined]

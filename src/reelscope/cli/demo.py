"""`python main.py demo`: everything at once on the sample, asking nobody outside this machine.

The settings are the program's own defaults, so neither the user's config nor a key or token in
the environment has a say. The language model is the stand-in of `reelscope.testing.chat`: real
HTTP on loopback, and every text of it says what it is.
"""

from __future__ import annotations

import json
import os
import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import reelscope
from reelscope.atomic import open_atomic
from reelscope.cli import run
from reelscope.cli.terminal import console, printable
from reelscope.cli.totals import show_totals
from reelscope.crawl.creators import Creator
from reelscope.crawl.folder import file_videos, folder_videos
from reelscope.errors import MediaError, OutputError, UsageError
from reelscope.music.fingerprint import RATE_HZ
from reelscope.music.library import MusicLibrary
from reelscope.music.sound import read_sound
from reelscope.pipeline.batch import Records
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.plan import Batch, Folders, plan_batch
from reelscope.pipeline.sound_groups import SoundGroups
from reelscope.pipeline.summary import Summary
from reelscope.records import SoundGroup, VideoRecord
from reelscope.settings import Settings

SAMPLE = {
    "dr.lena": ("7300000000000000201", "7300000000000000202"),
    "mira.bakes": ("7300000000000000001", "7300000000000000002"),
    "two_wheels_tom": ("7300000000000000101", "7300000000000000102"),
}
"""Creator -> videos of the sample, as `scripts/make_sample.py` writes them."""

BATCH = "demo"
PORT = 18117
"""Of the stand-in, always the same: another address is another server, which is asked anew."""
STAND_IN = "stand-in"
"""Name of the model, which has no price: nothing is paid."""
NOT_JUDGED: dict[str, Any] = {
    "brand_safety": [],
    "sponsorship": {"verdict": "none", "indicators": []},
    "target_demographics": {"age": [], "gender": "all", "interests": [], "summary": STAND_IN},
}
"""Where answers are choices, a stand-in that takes any would say something of the video."""
MARK = "about-this-folder.txt"
MARK_TEXT = (
    "Made by `python main.py demo`. Nothing else reads it: delete it when you have seen it.\n"
)


@dataclass(frozen=True)
class Clip:
    """A piece of a video's sound, played at another speed."""

    name: str
    of: tuple[str, str]
    start_s: float
    end_s: float
    speed: float

    def write(self, videos: Path, folder: Path) -> None:
        """As a WAV file, one channel of 16 bits."""
        sound = read_sound(videos / self.of[0] / f"{self.of[1]}.mp4", RATE_HZ)
        piece = sound[round(self.start_s * RATE_HZ) : round(self.end_s * RATE_HZ)]
        with open_atomic(folder / self.name) as whole, wave.open(whole, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(round(RATE_HZ * self.speed))  # the same samples in less time
            file.writeframes((piece.clip(-1, 1) * 32767).astype("<i2").tobytes())


REPOST = Clip("reposted.wav", ("mira.bakes", "7300000000000000001"), 1.0, 9.5, 1.04)
EXCERPT = Clip("excerpt.wav", ("dr.lena", "7300000000000000201"), 3.0, 9.0, 0.97)


def demo(into: Path, *, neural: bool) -> int:
    """Analyse, describe and group the sample, and say what to open. Returns the exit code.

    Args:
        into: folder of all results; made, or one that an earlier call has made.
        neural: use the weights in `models/` too.

    Raises:
        UsageError: the sample is not here, or `into` holds something else.
        OutputError: nothing can be written there.
    """
    from reelscope.testing.chat import Behaviour, FakeChat, serve

    source = find_sample()
    _prepare(source, into)
    console.print(
        f"Demo: {sum(map(len, SAMPLE.values()))} videos of {len(SAMPLE)} creators, made by code."
        f" Results go to {printable(str(into))}; nothing leaves this machine."
    )
    console.print("The descriptions come from a stand-in for a language model, and say so.")
    stand_in = FakeChat(default=Behaviour(rewrite=_judging_nothing))
    with serve(stand_in, port=PORT) as chat, _asking_loopback_alone():
        settings = demo_settings(into, chat.url, neural=neural)
        with run.log_file(settings):
            if code := _analyse_repost(settings, into / "clips" / REPOST.name):
                return code
            summary, batch = _analyse_sample(settings)
            console.print(f"The stand-in answered {chat.answered} requests in this run.")
    code = run.exit_code(summary, batch)
    if code == 0:
        _show_sounds(settings, batch, into)
        _show_guide(summary, batch, into)
    return code


def find_sample() -> Path:
    """The folder that holds the sample's videos: below the current one, or in the checkout.

    Raises:
        UsageError: in neither.
    """
    beside_the_package = Path(reelscope.__file__).parents[2]
    for root in (Path(), beside_the_package):
        folder = root / "data" / "tiktok_videos"
        if all((folder / c / f"{v}.mp4").is_file() for c, of in SAMPLE.items() for v in of):
            return folder
    raise UsageError(
        "the sample videos are not here: they come with the source, not with the package."
        " Call this in a checkout (git clone; then `make demo`), or look at videos of your own:"
        " reelscope analyze PATH"
    )


def demo_settings(into: Path, chat_url: str, *, neural: bool) -> Settings:
    """The defaults, with all that is written below `into` and a model at `chat_url`."""
    return Settings.model_validate({
        "paths": {
            "data": into,
            "logs": into / "logs",
            "models": Path("models") if neural else into / "models",
            "vocabulary": files("reelscope.vision") / "vocabulary.yml",
            "prompts": files("reelscope.description") / "prompts",
        },
        "models": {"offline": True},
        "description": {
            "enabled": True, "base_url": chat_url, "model": STAND_IN, "creator_summary": True,
        },
        "music": {"groups": {"enabled": True}},
    })  # fmt: skip


def _prepare(source: Path, into: Path) -> None:
    """The sample's files and two clips of it, in a folder that is the demo's own."""
    try:
        if not _is_free(into):
            raise UsageError(f"--into: {into} is not the demo's; name a folder that is not there")
        (into / "clips").mkdir(parents=True, exist_ok=True)
        (into / MARK).write_text(MARK_TEXT, encoding="utf-8")
        videos = into / "tiktok_videos"
        for creator in SAMPLE:
            shutil.copytree(source / creator, videos / creator, dirs_exist_ok=True, ignore=_others)
        for clip in (REPOST, EXCERPT):
            if not (into / "clips" / clip.name).is_file():
                clip.write(source, into / "clips")
    except OSError as error:
        raise OutputError(f"{into}: {error.strerror or error}") from None


def _is_free(into: Path) -> bool:
    """Whether it is nobody else's: not there, empty, or made by an earlier call."""
    if not into.exists() or (into / MARK).is_file():
        return True
    return into.is_dir() and not any(into.iterdir())


def _others(folder: str, names: list[str]) -> list[str]:
    """What has come to a folder of the sample since; `copytree` leaves it out."""
    own = SAMPLE[Path(folder).name]
    return [name for name in names if name.split(".")[0] not in own]


def _judging_nothing(text: str) -> str:
    """An answer of the stand-in without its choices, and sure of nothing."""
    answers = json.loads(text)
    for name, value in NOT_JUDGED.items():
        if name in answers:
            answers[name] = {**answers[name], "value": value, "evidence": []}
    return json.dumps(_unsure(answers))


def _unsure(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: 0 if k.endswith("confidence") else _unsure(v) for k, v in value.items()}
    return [_unsure(one) for one in value] if isinstance(value, list) else value


@contextmanager
def _asking_loopback_alone() -> Iterator[None]:
    """Without proxies, and without what the vendor's package reads of the environment."""
    before = dict(os.environ)
    for name in before:
        if name.lower().endswith("_proxy") or name.startswith("OPENAI_"):
            del os.environ[name]
    os.environ["NO_PROXY"] = "127.0.0.1"  # where the system has a proxy
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _analyse_repost(settings: Settings, path: Path) -> int:
    """Make the sped-up sound known, so that the sample has something to share."""
    quiet = settings.model_copy(
        update={"description": settings.description.model_copy(update={"enabled": False})}
    )
    batch = plan_batch(
        file_videos([path]), quiet, batch_id="clips", default_id="clips", only=["probe"]
    )
    return run.exit_code(*run.execute(batch, shown=False))


def _analyse_sample(settings: Settings) -> tuple[Summary, Batch]:
    videos = Folders(settings.paths).videos
    creators = [Creator(name) for name in SAMPLE]
    sources = [source for creator in creators for source in folder_videos(videos, creator)]
    batch = plan_batch(sources, settings, batch_id=BATCH, default_id=BATCH)
    summary, batch = run.execute(batch)
    show_totals(summary, batch)
    return summary, batch


# ---------------------------------------------------------------------------- what it shows


def _show_sounds(settings: Settings, batch: Batch, into: Path) -> None:
    """A clip identified in the library that the sounds of the run have made; the groups."""
    groups = SoundGroups(settings)
    clip, library = into / "clips" / EXCERPT.name, groups.folder
    console.print()
    console.print(f"Music library  all sounds of this run stand in {printable(str(library))}")
    for line in _heard(clip, library):
        console.print(f"  {printable(str(clip))}: {printable(line)}")
    records = Records(RecordStore(batch.folders.records), batch.sources)
    for record in groups.told(records):
        found = record.value(SoundGroup)
        if found and found.videos > 1:
            console.print(f"Sound group    {printable(_same_sound(record, found))}")


def _heard(clip: Path, library: Path) -> list[str]:
    try:
        with MusicLibrary.open(library, create=False) as sounds:
            found = sounds.identify(read_sound(clip, RATE_HZ), RATE_HZ, top=1)
    except MediaError as error:
        return [f"error: {error}"]
    named = [replace(one, track=replace(one.track, title=one.track.id)) for one in found]
    return [one.line() for one in named] or ["no track of the library is in it"]


def _same_sound(record: VideoRecord, found: SoundGroup) -> str:
    name = f"{record.source.creator}/{record.source.video_id}"
    others = found.videos - 1
    return f"{name} shares its sound with {others} other{'s' * (others > 1)} (column sound_group)"


def _show_guide(summary: Summary, batch: Batch, into: Path) -> None:
    """What to open next; the last line is the report."""
    records, table = batch.folders.records, batch.folder
    creator = next(name for name in batch.creators if name == REPOST.of[0])
    video = records / creator / REPOST.of[1]
    shown = (
        ("Everything known of a video", video / "record.json"),
        ("What was said, with times", video / "subtitles.srt"),
        ("What the model was asked", video / "description_requests.json"),
        ("All videos as a table", table / "video_features_results.csv"),
        ("Every column explained", table / "data-dictionary.md"),
    )
    console.print()
    if summary.videos_from_earlier_run == summary.videos:
        console.print(
            "All of it was here from an earlier run, so nothing was analysed again."
            f" To start over, delete {printable(str(into))}."
        )
    console.print("Next, open")
    for what, path in shown:
        if path.exists():
            console.print(f"  {what:<28} {printable(str(path))}")
    for what, command in (
        ("The neural stages too", "python main.py models pull, then demo --neural"),
        ("Videos of your own", "python main.py analyze PATH"),
        ("What this machine lacks", "python main.py doctor"),
    ):
        console.print(f"  {what:<28} {command}")
    console.print(f"Report: {printable(str(_report(records / creator)))}")


def _report(folder: Path) -> Path:
    """The creator's page."""
    page = folder / "report.html"
    return page if page.is_file() else folder / "report.md"

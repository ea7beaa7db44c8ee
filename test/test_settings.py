"""Settings: the file, the environment, the flags, and what wrong ones are told."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic.fields import FieldInfo

from reelscope.errors import ConfigError
from reelscope.settings import FAMILIAR_NAMES, Section, Settings, load


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_committed_config_holds_every_default(repository: Path) -> None:
    committed = (repository / "config" / "config.yml").read_text(encoding="utf-8")
    made = runpy.run_path(str(repository / "scripts" / "make_config.py"))["render"]()
    assert committed == made, "run scripts/make_config.py"
    assert Settings.model_validate(yaml.safe_load(committed)) == Settings()


def test_every_key_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert isinstance(field.default, Section)
        for key, setting in _keys(field.default):
            assert setting.description, f"{name}.{key}"


def _keys(section: Section) -> Iterator[tuple[str, FieldInfo]]:
    for key, setting in type(section).model_fields.items():
        yield key, setting
        if isinstance(inner := getattr(section, key), Section):
            yield from _keys(inner)


def test_later_layers_win(tmp_path: Path) -> None:
    config = write(tmp_path / "c.yml", "processing: {batch_size: 3, concurrency: 3}\n")
    environ = {"BATCH_SIZE": "4", "REELSCOPE_PROCESSING__CONCURRENCY": "5"}
    flags = {"processing.concurrency": 6, "processing.limit_per_creator": None}
    nested = write(tmp_path / "n.yml", "models: {offline: true, whisper: {size: base}}\n")
    found = load(nested, environ={"REELSCOPE_MODELS__WHISPER__ENGINE": "openai-whisper"}).models
    assert (found.offline, found.whisper.size) == (True, "base")
    assert found.whisper.engine == "openai-whisper"
    assert load(config, environ={}).processing.batch_size == 3
    assert load(config, environ=environ).processing.batch_size == 4
    assert load(config, environ=environ).processing.concurrency == 5
    assert load(config, environ=environ, flags=flags).processing.concurrency == 6


def test_norwegian_needs_no_quotes(tmp_path: Path) -> None:
    config = write(tmp_path / "c.yml", "transcribe: {language: no}\n")
    assert load(config, environ={}).transcribe.language == "no"


@pytest.mark.parametrize("name", FAMILIAR_NAMES)
def test_familiar_names_reach_their_key(name: str, tmp_path: Path) -> None:
    value = {"LOG_LEVEL": "DEBUG", "SAMPLE_RATE": "22050", "WHISPER_MODEL_SIZE": "tiny"}.get(
        name, "17"
    )
    loaded = load(write(tmp_path / "c.yml", ""), environ={name: value})
    assert loaded != Settings()


def test_one_familiar_name_may_reach_several_keys(tmp_path: Path) -> None:
    loaded = load(write(tmp_path / "c.yml", ""), environ={"BATCH_SIZE": "17"})
    assert loaded.processing.batch_size == loaded.music.match.batch_size == 17
    with pytest.raises(ConfigError, match="environment BATCH_SIZE"):
        load(write(tmp_path / "c.yml", ""), environ={"BATCH_SIZE": "none of them"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proccessing: {batch_size: 3}", ["c.yml", "proccessing", "did you mean processing"]),
        ("media: {sample_fsp: 2}", ["c.yml", "media.sample_fsp = 2", "did you mean sample_fps"]),
        ("models: {whisper: {sise: tiny}}", ["models.whisper.sise", "did you mean size"]),
        ("models: {whisper: {size: huge}}", ["models.whisper.size = 'huge'", "'tiny'", "small"]),
        ("models: {detector: {engine: yolo}}", ["'yolo-world' or 'owlv2'"]),
        ("models: {device: tpu}", ["models.device = 'tpu'", "cuda:0"]),
        ("media: {sample_fps: fast}", ["media.sample_fps = 'fast'", "number", "Default: 1.0"]),
        ("media: {sample_fps: 99}", ["media.sample_fps = 99", "less than or equal to 30"]),
        ("media: {integrity: some}", ["'reference' or 'full'"]),
        ("media: 3", ["media = 3"]),
        ("- a\n- b", ["expected sections", "list"]),
        ("media: {a: [}", ["c.yml, line 1"]),
    ],
)
def test_wrong_configs_are_told_file_key_value_and_what_is_allowed(
    text: str, expected: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path / "c.yml", text), environ={})
    for part in expected:
        assert part in str(error.value)


def test_all_wrong_keys_come_in_one_message(tmp_path: Path) -> None:
    config = write(tmp_path / "c.yml", "media: {short_side: 1}\nchoose: {max_frames: 0}\n")
    with pytest.raises(ConfigError) as error:
        load(config, environ={"REELSCOPE_TEXT__MAX_SIDE": "x"})
    assert "media.short_side" in str(error.value)
    assert "choose.max_frames" in str(error.value)
    assert "environment REELSCOPE_TEXT__MAX_SIDE" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such config file"):
        load(tmp_path / "none.yml", environ={})


@pytest.mark.parametrize(
    "text",
    [
        "openai: {api_key: [sk-secret]}",
        "openai: {apikey: sk-secret}",
        "openai: sk-secret",
        "opnai: {api_key: sk-secret}",
        "tiktok: {ms_tokn: sk-secret}",
        "tiktok: {proxies: [ftp://me:sk-secret@one.example]}",
    ],
)
def test_secrets_never_stand_in_messages(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path / "c.yml", text), environ={})
    assert "sk-secret" not in str(error.value)


def test_secrets_never_stand_in_saved_settings(tmp_path: Path) -> None:
    environ = {
        "OPENAI_API_KEY": "sk-secret",
        "TIKTOK_MS_TOKEN": "tok-secret",
        "REELSCOPE_TIKTOK__PROXIES": "http://me:secret@one.example:1 http://me:secret@two.example:2",
    }
    loaded = load(write(tmp_path / "c.yml", ""), environ=environ)
    assert loaded.openai.api_key
    assert loaded.openai.api_key.get_secret_value() == "sk-secret"
    assert len(loaded.tiktok.proxies) == 2
    for shown in (repr(loaded), str(loaded.public()), loaded.model_dump_json()):
        assert "secret" not in shown

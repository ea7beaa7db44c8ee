"""The compose files: by the specification's schema, and what docs/docker.md says of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parent / "schema" / "compose-spec.json"
ALONE = ("docker-compose.yml",)
CPU = ("docker-compose.yml", "docker-compose.cpu.yml")
# ${NAME}, ${NAME:-default} and the like (the specification's chapter on interpolation)
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*)|:?[?+][^}]*)?\}")
RESET = object()


class Loader(yaml.SafeLoader):
    """YAML with the specification's tag !reset, which takes away what an earlier file set."""


Loader.add_constructor("!reset", lambda loader, node: RESET)


def merged(repository: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """As Compose merges them: mappings key by key, lists one after another."""
    whole: Any = {}
    for name in names:
        whole = _over(whole, yaml.load((repository / name).read_text(), Loader))
    assert isinstance(whole, dict)
    return whole


def _over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        both = {key: _over(below.get(key), value) for key, value in above.items()}
        kept = {**below, **both}
        return {key: value for key, value in kept.items() if value is not RESET}
    if isinstance(below, list) and isinstance(above, list):
        return below + above
    return above


def interpolated(value: Any, environ: dict[str, str]) -> Any:
    """With every ${NAME} replaced."""
    if isinstance(value, dict):
        return {key: interpolated(inner, environ) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, environ) for inner in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: environ.get(found[1]) or found[2] or "", value)
    return value


def variables(repository: Path) -> set[str]:
    """What the compose files take from the environment."""
    text = "".join((repository / name).read_text() for name in CPU)
    found = {match[1] for match in VARIABLE.finditer(text)}
    for service in merged(repository, ALONE)["services"].values():
        found |= {key for key, value in service["environment"].items() if value is None}
    return found


def services(repository: Path, names: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = interpolated(merged(repository, names), {})
    yield from whole["services"].items()


@pytest.fixture(params=[ALONE, CPU], ids=["gpu", "cpu"])
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    value: tuple[str, ...] = request.param
    return value


def test_the_schema_is_the_one_that_is_named() -> None:
    digest = hashlib.sha256(SCHEMA.read_bytes()).hexdigest()
    assert digest in (SCHEMA.parent / "README.md").read_text()


def test_files_follow_the_specification(repository: Path, names: tuple[str, ...]) -> None:
    check = Draft202012Validator(json.loads(SCHEMA.read_text()))
    whole = interpolated(merged(repository, names), {})
    assert [error.message for error in check.iter_errors(whole)] == []


def test_the_schema_refuses_what_it_does_not_know(repository: Path) -> None:
    check = Draft202012Validator(json.loads(SCHEMA.read_text()))
    whole = merged(repository, ALONE)
    whole["services"]["notebook"]["prots"] = []
    assert not check.is_valid(whole)


def test_every_port_is_this_machines_alone(repository: Path, names: tuple[str, ...]) -> None:
    ports = {name: service.get("ports", []) for name, service in services(repository, names)}
    assert ports == {
        "notebook": ["127.0.0.1:8888:8888"],
        "analyze": [],
        "db": ["127.0.0.1:5432:5432"],
    }


def test_up_starts_the_notebook_alone(repository: Path, names: tuple[str, ...]) -> None:
    profiles = {name: service.get("profiles") for name, service in services(repository, names)}
    assert profiles == {"notebook": None, "analyze": ["analyze"], "db": ["db"]}


def test_settings_and_their_example_agree(repository: Path) -> None:
    example = (repository / ".env.example").read_text()
    listed = re.findall(r"^#?([A-Z][A-Z_]+)=", example, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == variables(repository) | {"COMPOSE_FILE"}


def test_the_example_sets_nothing_and_names_the_real_defaults(repository: Path) -> None:
    lines = (repository / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    text = "".join((repository / name).read_text() for name in CPU)
    defaults = {match[1]: match[2] for match in VARIABLE.finditer(text) if match[2]}
    for name, default in defaults.items():
        assert f"#{name}={default}" in lines


def test_git_and_the_build_leave_env_alone(repository: Path) -> None:
    assert ".env" in (repository / ".gitignore").read_text().splitlines()
    assert "**/.env" in (repository / ".dockerignore").read_text().splitlines()


def test_the_issued_settings_reach_the_program(repository: Path, names: tuple[str, ...]) -> None:
    for name, service in services(repository, names):
        if name == "db":
            continue
        assert service["shm_size"] == "2gb"
        environment = service["environment"]
        for key in ("TORCH_HOME", "HF_HOME", "YOLO_CONFIG_DIR"):
            assert environment[key].startswith("/app/models/")
        for key in (
            "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF", "TIKTOK_MS_TOKEN", "OPENAI_API_KEY",
        ):  # fmt: skip
            assert environment[key] is None, "passed on as it is, or not at all"
        mounts = {volume.split(":")[1] for volume in service["volumes"]}
        assert {"/app/data", "/app/models", "/app/config", "/app/logs"} <= mounts


def test_a_gpu_is_asked_for_except_on_the_processor(repository: Path) -> None:
    def asked(names: tuple[str, ...]) -> list[bool]:
        return ["deploy" in s for name, s in services(repository, names) if name != "db"]

    assert asked(ALONE) == [True, True]
    assert asked(CPU) == [False, False]
    for name, service in services(repository, CPU):
        if name != "db":
            assert service["build"]["args"]["BASE_IMAGE"].startswith("debian:")


def test_no_secret_has_a_default(repository: Path) -> None:
    text = "".join((repository / name).read_text() for name in CPU)
    secrets = [m for m in VARIABLE.finditer(text) if re.search("PASSWORD|TOKEN|KEY", m[1])]
    assert secrets and all(not match[2] for match in secrets)


def test_images_are_pinned(repository: Path, names: tuple[str, ...]) -> None:
    for name, service in services(repository, names):
        foreign = service["build"]["args"]["BASE_IMAGE"] if "build" in service else service["image"]
        assert re.search(r":\d+\.\d+", foreign), (name, foreign)


def test_folders_that_are_mounted_are_in_git(repository: Path) -> None:
    """Docker would make an absent one as root, and the program could not write into it."""
    for _, service in services(repository, ALONE):
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (repository / source).is_dir()
    ignored = (repository / ".gitignore").read_text().splitlines()
    assert "!/logs/.gitkeep" in ignored and "!/models/README.md" in ignored

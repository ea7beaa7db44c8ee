"""The Dockerfile and what belongs to it, read as text; `make image-check` builds it."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

SCRIPTS = ("install_system.sh", "install_packages.sh", "install_browser.sh")
SECRET = re.compile(r"TOKEN|KEY|PASSWORD|SECRET", re.IGNORECASE)


def instructions(repository: Path) -> Iterator[tuple[str, str, str]]:
    """(stage, instruction, its text on one line); the stage before the first FROM is ''."""
    text = re.sub(r"^\s*#.*\n", "", (repository / "Dockerfile").read_text(), flags=re.MULTILINE)
    stage = ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stage = rest.split()[-1]
        yield stage, word, rest.strip()


def of(repository: Path, stage: str, word: str) -> list[str]:
    return [
        text for where, what, text in instructions(repository) if (where, what) == (stage, word)
    ]


def tracked(repository: Path) -> set[str]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=False
    )
    if done.returncode:  # no checkout, or another user's
        pytest.skip(f"git lists no files: {done.stderr.strip()}")
    return set(done.stdout.splitlines())


def test_stages_follow_one_another(repository: Path) -> None:
    stages = [text for _, word, text in instructions(repository) if word == "FROM"]
    assert stages == [
        "${BASE_IMAGE} AS system",
        "system AS wheel",
        "system AS runtime",
        "runtime AS notebook",
    ]


def test_the_base_is_cudas_runtime_and_the_compose_file_says_the_same(repository: Path) -> None:
    base = of(repository, "", "ARG")[0].removeprefix("BASE_IMAGE=")
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-runtime-ubuntu\d\d\.04", base)
    compose = yaml.safe_load((repository / "docker-compose.yml").read_text())
    assert compose["x-build-args"]["BASE_IMAGE"] == f"${{BASE_IMAGE:-{base}}}"


def test_arguments_of_the_compose_files_are_known(repository: Path) -> None:
    known = {text.split("=")[0] for _, word, text in instructions(repository) if word == "ARG"}
    for name in ("docker-compose.yml", "docker-compose.cpu.yml"):
        text = (repository / name).read_text().replace("!reset null", "null")
        assert set(yaml.safe_load(text)["x-build-args"]) <= known


def test_the_user_and_the_way_in(repository: Path) -> None:
    for stage, program in (("runtime", "main.py"), ("notebook", "docker/start_notebook.py")):
        assert of(repository, stage, "USER")[-1] == "reelscope"
        assert json.loads(of(repository, stage, "ENTRYPOINT")[-1]) == ["python", program]
        health = of(repository, stage, "HEALTHCHECK")[-1]
        assert json.loads(health.partition("CMD ")[2])[:2] == ["python", "docker/healthcheck.py"]
    assert [text.split("=")[0] for text in of(repository, "system", "ARG")] == [
        "BROWSER", "UID", "GID",
    ]  # fmt: skip


def test_caches_are_in_a_volume(repository: Path) -> None:
    volumes = json.loads(of(repository, "runtime", "VOLUME")[0])
    assert "/app/models" in volumes
    settings = dict(
        setting.split("=", 1)
        for text in of(repository, "runtime", "ENV")
        for setting in text.split()
    )
    for name in ("TORCH_HOME", "HF_HOME", "YOLO_CONFIG_DIR", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        assert settings[name].startswith("/app/models/")


def test_no_secret_and_no_setting_of_one_machine_in_a_layer(repository: Path) -> None:
    for _, word, text in instructions(repository):
        if word in ("ARG", "ENV"):
            assert not SECRET.search(text), text
            assert "PIP_" not in text and "proxy" not in text.lower(), text
    assert "--index-url" not in (repository / "Dockerfile").read_text()


def test_pip_is_configured_by_build_secrets_alone(repository: Path) -> None:
    installs = [text for _, word, text in instructions(repository) if "id=pip_conf" in text]
    assert len(installs) == 3
    for text in installs:
        assert "type=secret,id=pip_conf,target=/etc/pip.conf" in text
        assert "type=secret,id=pip_cert,target=/etc/pip-cert.pem" in text
        assert "type=cache,target=/root/.cache/pip" in text


def test_what_is_copied_is_in_git_and_not_ignored(repository: Path) -> None:
    files = tracked(repository)
    wanted = set(
        re.findall(r"type=bind,source=([\w./-]+)", (repository / "Dockerfile").read_text())
    )
    for _, word, text in instructions(repository):
        if word == "COPY" and "--from" not in text:
            parts = [part for part in text.split() if not part.startswith("--")]
            wanted |= {part.replace("${REQUIREMENTS}", "requirements.txt") for part in parts[:-1]}
    let_in = {line[1:] for line in ignored(repository) if line.startswith("!")}
    for path in wanted:
        assert path in files or any(name.startswith(f"{path}/") for name in files), path
        assert path.split("/")[0] in let_in, f"{path} does not reach the build"


def ignored(repository: Path) -> list[str]:
    lines = (repository / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_build_sees_no_outputs_no_weights_no_secrets(repository: Path) -> None:
    """All is left out but what is named."""
    lines = ignored(repository)
    assert lines[0] == "*"
    let_in = {line[1:].split("/")[0] for line in lines if line.startswith("!")}
    assert not let_in & {"data", "models", "logs", "test", ".git", ".venv", ".env"}
    assert "**/.env" in lines[lines.index("!src") :], "the later line counts"


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_posix_shell(repository: Path, name: str) -> None:
    subprocess.run(["sh", "-n", repository / "docker" / name], check=True)


def test_an_unknown_browser_is_refused(repository: Path) -> None:
    text = (repository / "docker/install_system.sh").read_text()
    for browser in ("playwright", "debian", "none"):
        assert re.search(rf"\b{browser}\b[ |)]", text)


def test_what_only_cuda_needs_is_told_from_the_rest(repository: Path) -> None:
    script = (repository / "docker/install_packages.sh").read_text()
    patterns = dict(re.findall(r"^(\w+)='(\^.*)'$", script, re.MULTILINE))
    pinned = re.findall(r"^[\w.-]+==\S+", (repository / "requirements.txt").read_text(), re.M)
    cuda = [line for line in pinned if re.match(patterns["only_cuda"], line)]
    torch = [line for line in pinned if re.match(patterns["from_torch"], line)]
    assert [line.split("==")[0] for line in torch] == ["torch", "torchvision"]
    assert {"triton", "cuda-bindings", "nvidia-cublas"} <= {line.split("==")[0] for line in cuda}


def test_the_notebooks_packages_do_not_differ_from_the_programs(repository: Path) -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[\w.!+-]+", (repository / name).read_text(), re.M))

    program, notebook = pins("requirements.txt"), pins("docker/requirements-notebook.txt")
    assert any(pin.startswith("jupyterlab==") for pin in notebook)
    names = {pin.split("==")[0] for pin in program}
    assert {pin for pin in notebook if pin.split("==")[0] in names} <= program


def test_the_small_list_is_a_part_of_the_whole_one(repository: Path) -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[\w.!+-]+", (repository / name).read_text(), re.M))

    small = pins("docker/requirements-small.txt")
    assert small < pins("requirements.txt")
    names = {pin.split("==")[0] for pin in small}
    assert {"numba", "playwright", "psycopg", "matplotlib"} <= names
    assert not names & {"torch", "triton", "ultralytics", "transformers"}


def health(repository: Path, folder: Path, *call: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "docker/healthcheck.py"), *call]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_healthcheck_passes_where_folders_can_be_written(repository: Path, tmp_path: Path) -> None:
    for name in ("data", "models", "logs"):
        (tmp_path / name).mkdir()
    done = health(repository, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_healthcheck_says_what_is_wrong(repository: Path, tmp_path: Path) -> None:
    for name in ("data", "models"):
        (tmp_path / name).mkdir()
    (tmp_path / "config").mkdir()
    done = health(repository, tmp_path, "--url", "http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert f"{tmp_path / 'logs'} cannot be written" in done.stderr
    assert "http://127.0.0.1:9/api: " in done.stderr

    (tmp_path / "config/config.yml").write_text("nonsense: 1\n")
    done = health(repository, tmp_path)
    assert done.returncode == 1 and "nonsense" in done.stderr


def notebook_settings(repository: Path, folder: Path, password: str) -> tuple[str, int]:
    """What the start hands to Jupyter, by a stand-in for the package; its file's rights."""
    package = folder / "jupyterlab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import os, sys\n"
        "path = sys.argv[1].removeprefix('--config=')\n"
        "print(oct(os.stat(path).st_mode), os.environ.get('JUPYTER_PASSWORD'), *sys.argv[2:])\n"
        "print(open(path).read())\n"
        "os.unlink(path)\n"
    )
    done = subprocess.run(
        [sys.executable, repository / "docker/start_notebook.py", "--debug"],
        cwd=folder, env={"PYTHONPATH": str(folder), "JUPYTER_PASSWORD": password},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, text = done.stdout.split("\n", 1)
    mode, environment, *arguments = head.split()
    assert environment == "None", "the password stays out of the server's and kernels' environment"
    assert arguments == ["--debug"]
    return text, stat.S_IMODE(int(mode, 8))


def test_jupyter_without_a_password_answers_this_machine_only(
    repository: Path, tmp_path: Path
) -> None:
    text, mode = notebook_settings(repository, tmp_path, "")
    assert mode == 0o600
    found = json.loads(text)
    assert found["IdentityProvider"]["token"] == ""
    assert found["ServerApp"]["allow_remote_access"] is False
    assert found["ServerApp"]["port"] == 8888
    assert found["PasswordIdentityProvider"]["hashed_password"] == ""


def test_jupyters_password_is_hashed(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("jupyter_server", reason="Jupyter's server is in the image alone")
    text, _ = notebook_settings(repository, tmp_path, "correct horse")
    found = json.loads(text)
    assert "correct horse" not in text
    assert found["PasswordIdentityProvider"]["hashed_password"].startswith("argon2:")
    assert found["PasswordIdentityProvider"]["password_required"] is True

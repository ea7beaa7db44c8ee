"""Builds the Dockerfile without a Docker engine and runs the main job in the image.

`make image-check`. The base is a plain Debian made by debootstrap; buildah builds the targets
`runtime` and `notebook` on it (chroot isolation, vfs storage, so that neither a daemon nor a
kernel's overlay is needed). In the image, as its user, the main job runs on the sample, and what
it leaves is compared with what the same commit leaves outside: every stage of every record, every
cell of every table. Also looked at: who the user is, the health checks, the browser, that no
secret or output reached the image, and that Jupyter answers on loopback and refuses other hosts'
names.

It needs root, Debian or Ubuntu, `apt install buildah debootstrap`, Debian's packages and PyPI,
and FREE_GB of disk. pip's settings of this machine (`pip config list`, PIP_*) reach the build as
secrets, which no layer holds. What is committed is checked, not what lies beside it.
"""

from __future__ import annotations

import argparse
import configparser
import csv
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FREE_GB = 60.0
"""Of disk at the start: vfs copies whole trees, and packages with CUDA take 7 GB. Before the first
of two images was there, 34 GB were gone."""
FREE_SMALL_GB = 15.0
UID = 1234
"""Of the image's user: not the default, to see that the argument counts."""
VOLUMES = ("/app/data", "/app/models", "/app/logs")
MARK = "image-check-mark-5d1f0a"
"""Stands in everything that must not reach the image."""
VARYING = {"seconds", "finished_at", "mtime_ns"}
"""Of a record: when and how long."""
VARYING_COLUMNS = {"analysis_s"}
TOLERANCE = 1e-6
ALL = "requirements.txt"
"""The list that `make run` installs."""
BROWSER_PROBE = """
import sys
from playwright.sync_api import sync_playwright
from reelscope.engines.browser import find_browser
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=str(find_browser(None)), headless=False, args=["--headless=new"])
    page = browser.new_page()
    page.goto("data:text/html,<title>it works</title>")
    print(browser.version, page.title())
    browser.close()
"""


def call(
    words: Sequence[str | Path], *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it says, whether or not it succeeds."""
    return subprocess.run(
        words, cwd=cwd, env=environ, check=False, capture_output=True, text=True, errors="replace"
    )


def must(words: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """What a program prints.

    Raises:
        SystemExit: it failed.
    """
    done = call(words, cwd=cwd)
    if done.returncode:
        sys.exit(f"{words[0]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


@dataclasses.dataclass
class Report:
    """What was looked at, in order."""

    failed: int = 0

    def note(self, what: str, ok: bool, found: object) -> None:
        """One line of the summary, at once."""
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'}  {what}: {found}", flush=True)


@dataclasses.dataclass
class Storage:
    """buildah's images and containers in a folder of our own."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.call = ["buildah", "--root", str(self.folder / "store"), "--runroot",
                     str(self.folder / "run"), "--storage-driver", "vfs"]  # fmt: skip
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        self.environ = {**os.environ, "TMPDIR": str(temporary)}

    def do(self, *asked: str, log: Path | None = None) -> str:
        """Call buildah; what it prints, with its messages also into a file.

        Raises:
            SystemExit: it failed; its last lines are told.
        """
        words = [*self.call, *asked]
        if log is None:
            done = call(words, environ=self.environ)
            code, output, told = done.returncode, done.stdout, done.stderr
        else:
            with log.open("w", encoding="utf-8") as file:  # to be read while it grows
                code = subprocess.run(
                    words, env=self.environ, check=False, stdout=file, stderr=subprocess.STDOUT
                ).returncode
            output = told = log.read_text(encoding="utf-8", errors="replace")
        if code:
            sys.exit(f"buildah {asked[0]} ended with {code}:\n{told[-3000:]}")
        return output

    def has(self, image: str) -> bool:
        """Whether an image of that name is here."""
        words = [*self.call, "inspect", "--type", "image", image]
        return call(words, environ=self.environ).returncode == 0

    @contextmanager
    def container(self, image: str) -> Iterator[Container]:
        """A container of an image; it goes with all that was written in it."""
        name = self.do("from", "--pull-never", image).strip()
        try:
            yield Container(self, name)
        finally:
            self.do("rm", name)


@dataclasses.dataclass
class Container:
    """Commands in a container, as the image's user, in its folder."""

    storage: Storage
    name: str

    def words(self, command: Sequence[str], mounts: Mapping[Path, str]) -> list[str]:
        """The call of buildah that runs a command."""
        volumes = [f"--volume={path}:{target}" for path, target in mounts.items()]
        isolated = ["--isolation", "chroot", *volumes]
        return [*self.storage.call, "run", *isolated, self.name, "--", *command]

    def run(
        self, *command: str, mounts: Mapping[Path, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return call(self.words(command, mounts or {}), environ=self.storage.environ)

    def settings(self) -> dict[str, Any]:
        """The image's own: User, Entrypoint, Healthcheck, Env, and its history."""
        found = json.loads(self.storage.do("inspect", self.name))["Docker"]
        return {**found["config"], "history": found["history"]}

    def undeclare(self, *volumes: str) -> None:
        """Only what is mounted by hand counts: buildah 1.28 mounts volumes that the image
        declares in no certain order, now and then over those of the call."""
        for volume in volumes:
            self.storage.do("config", "--volume", f"{volume}-", self.name)


HASH_PROBE = """
import sys
from pathlib import Path
sys.path.insert(0, "docker")
from start_notebook import settings
print(settings("correct horse", root=Path())["PasswordIdentityProvider"]["hashed_password"])
"""


def main() -> int:
    """Check it; the exit code is 0 if all is well."""
    asked = arguments()
    require(asked.cache, FREE_GB if asked.requirements == ALL else FREE_SMALL_GB)
    storage, work = Storage(asked.cache / "buildah"), asked.cache / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    report = Report()
    base(asked, storage)
    context(work / "context")
    build(storage, asked, work, target="runtime")
    with storage.container("localhost/reelscope:runtime") as box:
        look_at(box, report)
        browser(box, report)
        main_job(box, report, work, outside(asked, work))
    if not asked.no_notebook:
        build(storage, asked, work, target="notebook")
        with storage.container("localhost/reelscope:notebook") as box:
            notebook(box, report)
            explore(box, report, work / "inside")
    if not asked.keep:
        shutil.rmtree(storage.folder, ignore_errors=True)
    print(f"{report.failed} of the checks failed" if report.failed else "all is well")
    return 1 if report.failed else 0


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Build and check the image.")
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/reelscope-image-check"))  # noqa: S108
    parser.add_argument("--suite", default="bookworm", help="Debian's release for the base")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--browser", default="debian", choices=["debian", "playwright", "none"])
    parser.add_argument("--requirements", default=ALL, help="another list of pins")
    parser.add_argument("--no-notebook", action="store_true", help="the target runtime alone")
    parser.add_argument("--keep", action="store_true", help="keep the images for looking around")
    return parser.parse_args()


def require(cache: Path, needed_gb: float) -> None:
    """Say at once what is missing.

    Raises:
        SystemExit: something is.
    """
    missing = [name for name in ("buildah", "debootstrap", "git") if shutil.which(name) is None]
    wrong = []
    if os.geteuid() != 0:
        wrong.append("it has to be called by root (a chroot, mounts, other users' files)")
    if missing:
        wrong.append(f"apt install {' '.join(missing)}")
    cache.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(cache).free / 1e9
    if free_gb < needed_gb:
        wrong.append(f"{cache}: {free_gb:.0f} GB free of {needed_gb:.0f} GB; see --cache")
    if wrong:
        sys.exit("The image cannot be checked here:\n  " + "\n  ".join(wrong))


# ------------------------------------------------------------------------------- building


def base(asked: argparse.Namespace, storage: Storage) -> None:
    """Debian as debootstrap makes it, as an image; both are kept for the next time."""
    folder, image = asked.cache / asked.suite, f"localhost/base:{asked.suite}"
    if not (folder / "etc/debian_version").exists():
        made = folder.with_suffix(".part")
        shutil.rmtree(made, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", asked.suite, str(made), asked.mirror]
        must(command)
        security = asked.mirror.rstrip("/") + "-security"
        (made / "etc/apt/sources.list").write_text(
            f"deb {asked.mirror} {asked.suite} main\n"
            f"deb {asked.mirror} {asked.suite}-updates main\n"
            f"deb {security} {asked.suite}-security main\n"
        )
        made.rename(folder)
    if not storage.has(image):
        ours = asked.cache / "base"
        ours.mkdir(exist_ok=True)
        left_out = ("./var/cache/apt/*.bin", "./var/cache/apt/archives/*.deb")
        exclude = [f"--exclude={pattern}" for pattern in left_out]
        must(["tar", "-C", folder, "--one-file-system", *exclude, "-cf", ours / "base.tar", "."])
        (ours / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["/bin/sh"]\n')
        storage.do("bud", "--isolation", "chroot", "--format", "docker", "--tag", image, str(ours))
        shutil.rmtree(ours)


def context(folder: Path) -> None:
    """The commit's files, with outputs and secrets beside them as in a used checkout."""
    unpack(folder)
    for name in (".env", "src/.env", "data/analysis_results/x/record.json", "models/weights.bin",
                 "logs/processing_logs.txt", "src/reelscope/__pycache__/x.pyc"):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"OPENAI_API_KEY={MARK}\n")


def unpack(folder: Path) -> None:
    """What HEAD holds."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder.with_suffix(".tar")
    must(["git", "archive", "--output", archive, "HEAD"], cwd=ROOT)
    must(["tar", "-C", folder, "-xf", archive])
    archive.unlink()


def build(storage: Storage, asked: argparse.Namespace, work: Path, *, target: str) -> None:
    """One target. The notebook is built over the runtime that was checked."""
    words = ["bud", "--isolation", "chroot", "--format", "docker", "--layers=false",
             "--target", target, "--tag", f"localhost/reelscope:{target}"]  # fmt: skip
    settings = {"BASE_IMAGE": f"localhost/base:{asked.suite}", "BROWSER": asked.browser,
                "REQUIREMENTS": asked.requirements, "UID": str(UID), "GID": str(UID)}  # fmt: skip
    for name, value in settings.items():
        words += ["--build-arg", f"{name}={value}"]
    if target == "notebook":
        words += ["--build-context", "runtime=container-image://localhost/reelscope:runtime"]
    words += pip_settings(work)
    start = time.monotonic()
    storage.do(*words, str(work / "context"), log=work / f"build-{target}.log")
    print(f"built {target} in {time.monotonic() - start:.0f} s", flush=True)


def pip_settings(work: Path) -> list[str]:
    """How pip reaches its index here, as secrets of the build."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    if call([*command[:3], "--version"]).returncode:  # uv makes environments without pip
        command = ["pip", "config", "list"]
    listed = must(command)
    found = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    options = {name: value.replace("\\n", " ") for name, value in found if name != "find-links"}
    for name in ("index-url", "extra-index-url"):  # folders of this machine are not the build's
        kept = [url for url in options.pop(name, "").split() if not url.startswith("file:")]
        options.update({name: " ".join(kept)} if kept else {})
    words = []
    if certificate := options.get("cert"):
        words += ["--secret", f"id=pip_cert,src={certificate}"]
        options["cert"] = "/etc/pip-cert.pem"
    parser = configparser.RawConfigParser()
    parser["global"] = options
    secret = work / "pip.conf"
    with secret.open("w") as file:
        file.write(f"# {MARK}\n")
        parser.write(file)
    secret.chmod(0o600)
    return [*words, "--secret", f"id=pip_conf,src={secret}"]


# ---------------------------------------------------------------------------- looking at it


def look_at(box: Container, report: Report) -> None:
    """What the image says of itself, and what is in it."""
    settings = box.settings()
    who = box.run("id", "-u").stdout.strip()
    report.note("the user is not root", who == str(UID), f"uid {who}, {settings['User']}")
    health = box.run(*settings["Healthcheck"]["Test"][1:])
    report.note("health check", health.returncode == 0, health.stderr.strip() or "passes")
    report.note("python", True, box.run("python", "--version").stdout.strip())
    said = json.dumps(settings)
    bad = [word for word in (MARK, "PIP_", "index-url") if word in said]
    report.note("settings and history hold nothing of the build machine", not bad, bad or "nothing")
    volumes = sorted(settings.get("Volumes") or {})
    report.note("volumes", volumes == sorted(VOLUMES), volumes)
    root = Path(box.storage.do("mount", box.name).strip())
    size_gb = tree_bytes(root) / 1e9
    report.note(
        "nothing that was ignored is in the image", not (bad := marked(root)), bad or "none"
    )
    box.storage.do("umount", box.name)
    tool = box.run("fpcalc", "-version")
    report.note("chromaprint", tool.returncode == 0, tool.stdout.strip())
    report.note("size", True, f"{size_gb:.1f} GB")


def tree_bytes(root: Path) -> int:
    """Bytes of all files below a folder."""
    return int(must(["du", "-sbx", root]).split()[0])


def marked(root: Path) -> list[str]:
    """Files that must not be there: by name, or by the mark in them."""
    words = ["grep", "-rlsF", "--exclude-dir=nvidia", "--exclude-dir=proc", "--exclude-dir=sys",
             MARK, str(root)]  # fmt: skip
    found = call(words).stdout.splitlines()
    app = [*root.glob("app/**/.env*"), *root.glob("app/**/__pycache__"), root / "etc/pip.conf",
           root / "etc/pip-cert.pem", root / "app/src", root / "root/.cache/pip"]  # fmt: skip
    left = [path for path in app if path.is_dir() or (path.exists() and path.stat().st_size)]
    return found + [str(path) for path in left if not path.is_dir() or any(path.iterdir())]


def browser(box: Container, report: Report) -> None:
    """The image's Chromium, through Playwright, as the crawl starts it."""
    done = box.run("python", "-c", BROWSER_PROBE)
    ok = done.returncode == 0 and "it works" in done.stdout
    report.note("browser", ok, done.stdout.strip() or done.stderr[-800:])


def mounted(folder: Path) -> dict[Path, str]:
    """The volumes, in folders of the host."""
    return {folder / Path(volume).name: volume for volume in VOLUMES}


def main_job(box: Container, report: Report, work: Path, python: Path) -> None:
    """The image's entry point on the sample, against the same outside, by that Python."""
    inside, beside = work / "inside", work / "outside"
    for folder in (inside, beside):
        unpack(folder)
    must(["chown", "-R", f"{UID}:{UID}", inside])
    mounts = mounted(inside)
    entry = box.settings()["Entrypoint"]
    box.undeclare(*VOLUMES)
    start = time.monotonic()
    done = box.run(*entry, "--csv", "data/creators.csv", mounts=mounts)
    took_s = time.monotonic() - start
    (work / "inside.log").write_text(done.stdout + done.stderr)
    report.note("main job in the image", done.returncode == 0,
                f"{took_s:.0f} s" if done.returncode == 0 else done.stderr[-2000:])  # fmt: skip
    start = time.monotonic()
    must([python, "main.py", "--csv", "data/creators.csv"], cwd=beside)
    print(f"      the same outside: {time.monotonic() - start:.0f} s", flush=True)
    compare(inside, beside, report)
    owner = {path.stat().st_uid for path in (inside / "data/results").rglob("*")}
    report.note("results belong to the user", owner == {UID}, sorted(owner))


def outside(asked: argparse.Namespace, work: Path) -> Path:
    """A Python with the packages that the image was asked to have: this one, or a new one."""
    if asked.requirements == ALL:
        return Path(sys.executable)
    environment = work / "venv"
    must([sys.executable, "-m", "venv", environment])
    python = environment / "bin/python"
    install: list[str | Path] = [python, "-m", "pip", "install"]
    if shutil.which("uv"):
        install = ["uv", "pip", "install", "--python", python]
    must([*install, "--quiet", "--no-deps", "-r", ROOT / asked.requirements])
    must([*install, "--quiet", "--no-deps", work / "context"])
    return python


# -------------------------------------------------------------------------------- comparing


def compare(inside: Path, outside: Path, report: Report) -> None:
    """Records stage by stage, tables cell by cell, names of all files."""
    names = [{str(path.relative_to(side)) for path in (side / "data").rglob("*") if path.is_file()}
             for side in (inside, outside)]  # fmt: skip
    odd = sorted(names[0] ^ names[1])
    report.note("the same files", not odd, odd or f"{len(names[0])} files")
    records = sorted(outside.glob("data/analysis_results/*/*/record.json"))
    stages, differ = 0, []
    for path in records:
        ours = json.loads(path.read_text())
        other = inside / path.relative_to(outside)
        theirs = json.loads(other.read_text()) if other.exists() else {}
        stages += len(ours["stages"])
        differ += [f"{path.parent.name} {found}" for found in differences(ours, theirs)]
    report.note("the same records", not differ,
                differ[:20] or f"{len(records)} records, {stages} stages")  # fmt: skip
    tables = sorted(path for path in (outside / "data").rglob("*.csv") if "results" in str(path))
    cells, differ = 0, []
    for path in tables:
        ours, theirs = (list(rows(side)) for side in (path, inside / path.relative_to(outside)))
        cells += sum(map(len, ours))
        differ += [f"{path.name} {found}" for found in differences(ours, theirs)]
    report.note("the same tables", bool(tables) and not differ,
                differ[:20] or f"{len(tables)} tables, {cells} cells")  # fmt: skip


def rows(path: Path) -> Iterator[dict[str, str]]:
    """A table's rows without the columns that tell the time."""
    if not path.exists():
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield {key: value for key, value in row.items() if key not in VARYING_COLUMNS}


def differences(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """Where two values are not the same; numbers may differ by TOLERANCE of themselves."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys(), key=str):
            if key not in VARYING:
                yield from differences(ours.get(key), theirs.get(key), f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{where}[{index}]")
    elif isinstance(ours, float) and isinstance(theirs, float):
        if not math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{where}: {ours} outside, {theirs} inside"
    elif ours != theirs:
        yield f"{where}: {str(ours)[:80]} outside, {str(theirs)[:80]} inside"


# --------------------------------------------------------------------------------- Jupyter


def notebook(box: Container, report: Report) -> None:
    """Jupyter as the image starts it (on loopback, since here it is this machine's port)."""
    if answer() != 0:
        report.note("Jupyter", False, "port 8888 is taken on this machine")
        return
    settings = box.settings()
    words = box.words([*settings["Entrypoint"], "--ServerApp.ip=127.0.0.1"], {})
    server = subprocess.Popen(words, env=box.storage.environ, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    try:
        here = until(lambda: answer() == 200, within_s=120.0)
        report.note("Jupyter answers on loopback", here, f"/lab says {answer()}")
        code = answer(host="attacker.example:8888")
        report.note("Jupyter refuses another host's name", code == 403, code)
        health = box.run(*settings["Healthcheck"]["Test"][1:])
        report.note("its health check", health.returncode == 0, health.stderr.strip() or "passes")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
        report.note(
            "Jupyter ends when it is told to", until(lambda: answer() == 0, within_s=30), ""
        )
    hashed = box.run("python", "-c", HASH_PROBE)
    report.note("Jupyter's password is hashed", hashed.stdout.startswith("argon2"),
                hashed.stdout[:30].strip() or hashed.stderr[-500:])  # fmt: skip


def explore(box: Container, report: Report, folder: Path) -> None:
    """A notebook of the image's, from its first cell to its last, on what the main job left."""
    box.undeclare(*VOLUMES)
    mounts = mounted(folder)
    start = time.monotonic()
    done = box.run("jupyter", "execute", "notebooks/explore.ipynb", mounts=mounts)
    found = f"{time.monotonic() - start:.0f} s" if done.returncode == 0 else done.stderr[-2000:]
    report.note("explore.ipynb runs in the image", done.returncode == 0, found)


def answer(host: str | None = None) -> int:
    """The status of Jupyter's first page; 0: nobody answers."""
    request = urllib.request.Request("http://127.0.0.1:8888/lab")
    if host is not None:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=10) as found:  # noqa: S310
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def until(happens: Callable[[], bool], *, within_s: float) -> bool:
    """Wait for something; whether it came."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(1)
    return False


if __name__ == "__main__":
    sys.exit(main())

"""What holds for every test: no network, no unexpected error in the log, corpus or skip."""

from __future__ import annotations

import logging
import secrets
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import reelscope.engines  # noqa: F401  (sets how threads wait, before a test imports torch)

REPOSITORY = Path(__file__).parent.parent
CORPUS = REPOSITORY.parent / "shared" / "corpus"


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def corpus() -> Path:
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real recordings (../shared/corpus) is not on this machine")
    return CORPUS


@pytest.fixture(scope="session")
def whisper_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights with the tiny Whisper in both engines' formats."""
    from reelscope.testing.weights import write_weights

    root = tmp_path_factory.mktemp("whisper")
    write_weights(root, ["faster-whisper-tiny", "openai-whisper-tiny"])
    return root


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a real PostgreSQL server of this session's own, on a socket in a folder.

    Run by root, the server is another user's; pytest shuts others out of its own temporary
    folders whenever a session begins.
    """
    folder = Path(tempfile.mkdtemp(prefix="reelscope-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        pgserver = pytest.importorskip("pgserver", reason="pgserver (PostgreSQL) is not installed")
        server = pgserver.get_server(folder, cleanup_mode="delete")
    import psycopg

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")  # no test cuts its power
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Address of a new, empty PostgreSQL database."""
    import psycopg

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return postgres_server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty database is: SQLite, and with the slow tests PostgreSQL."""
    if request.param == "sqlite":
        return str(tmp_path / "database.sqlite")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def loopback_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            pytest.fail(f"a test tried to reach {address[0]}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", loopback_only)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing asks for weights, unless a test brings a hub of its own."""
    monkeypatch.setenv("REELSCOPE_MODELS__OFFLINE", "true")


@pytest.fixture(autouse=True)
def _no_error_logged(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    yield
    errors = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    if errors and not request.node.get_closest_marker("logs_errors"):
        pytest.fail(f"logged an error: {errors[0].getMessage()}")

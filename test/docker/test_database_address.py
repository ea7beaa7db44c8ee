"""The address that docs/docker.md gives for the database of profile `db`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.engine import make_url

from reelscope.store.database import Database


@pytest.mark.slow
def test_the_environment_completes_the_address(
    repository: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGHOST and the like, as the compose file sets them, here with the test server's values."""
    compose = yaml.safe_load((repository / "docker-compose.yml").read_text())
    set_there = {name for name in compose["x-environment"] if name.startswith("PG")}
    url = make_url(postgres_url)
    values = {
        "PGHOST": str(url.query["host"]),
        "PGUSER": url.username or "",
        "PGDATABASE": url.database or "",
        "PGPASSWORD": url.password or "",
    }
    assert set(values) == set_there
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    address = re.findall(r"__DATABASE=(\S+)", (repository / "docs/docker.md").read_text())
    assert address == ["postgresql://"]
    with Database.open(address[0]) as database, database.reading() as connection:
        assert connection.scalar(text("SELECT current_database()")) == url.database

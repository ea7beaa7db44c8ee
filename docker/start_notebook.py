"""Starts Jupyter: with JUPYTER_PASSWORD if it is set, else for callers by this machine's name.

In the container Jupyter listens on every address, since the port is passed on from outside; the
compose file passes it on from 127.0.0.1 alone. Without a password it also refuses requests that
name another host than this machine. Otherwise any web page that is open in a browser on it could
point a name of its own at 127.0.0.1 and run code here (DNS rebinding).

Arguments go on to `jupyter lab`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

VARIABLE = "JUPYTER_PASSWORD"
PORT = 8888


def main() -> None:
    """Become the server. Neither it nor a kernel has the password in its environment."""
    text = json.dumps(settings(os.environ.pop(VARIABLE, ""), root=Path.cwd()))
    handle, name = tempfile.mkstemp(prefix="jupyter-", suffix=".json")  # readable for us alone
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    command = [sys.executable, "-m", "jupyterlab", f"--config={name}", *sys.argv[1:]]
    os.execv(command[0], command)  # noqa: S606 (no shell)


def settings(password: str, *, root: Path) -> dict[str, Any]:
    """Jupyter's settings; of the password only its hash (Argon2)."""
    hashed = ""
    if password:
        from jupyter_server.auth import passwd  # type: ignore[import-not-found,unused-ignore]

        hashed = passwd(password)
    return {
        "ServerApp": {
            "ip": "0.0.0.0",  # noqa: S104 (of the container)
            "port": PORT,
            "port_retries": 0,
            "open_browser": False,
            "root_dir": str(root),
            "allow_remote_access": bool(password),
        },
        "IdentityProvider": {"token": ""},
        "PasswordIdentityProvider": {
            "hashed_password": hashed,
            "password_required": bool(password),
        },
        # nothing is asked of other servers
        "LabApp": {
            "extension_manager": "readonly",
            "news_url": None,
            "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        },
    }


if __name__ == "__main__":
    main()

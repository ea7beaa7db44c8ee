"""The main job with --describe against a stand-in chat server on this machine.

Shows what the description leaves without a key and without cost: `make demo-describe`. The
server speaks the real protocol and counts tokens as a vendor would, but it understands
nothing: every answer says that it is a stand-in's. Results go to data/demo-describe/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from reelscope.testing.chat import FakeChat, serve

ROOT = Path(__file__).parent.parent
DATA = Path("data") / "demo-describe"


def main() -> int:
    """Run it; the exit code is that of the main job."""
    videos = ROOT / DATA / "tiktok_videos"
    shutil.copytree(ROOT / "data" / "tiktok_videos", videos, dirs_exist_ok=True)
    command = [sys.executable, "main.py", "--csv", "data/creators.csv"]
    command += ["--describe", "--batch-id", "demo-describe", *sys.argv[1:]]
    with serve(FakeChat()) as chat:
        environment = {
            **os.environ,
            "REELSCOPE_PATHS__DATA": str(DATA),
            "REELSCOPE_DESCRIPTION__BASE_URL": chat.url,
            "REELSCOPE_DESCRIPTION__CREATOR_SUMMARY": "true",
        }
        code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        print(f"The stand-in server counted {chat.answered} answers and {chat.paid}.")
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Take docs/images/report.png, the README's picture of a creator's report.

    python scripts/picture_report.py [FOLDER] [PICTURE]

analyses the videos of FOLDER (by default the sample creator mira.bakes) into a temporary
folder, opens report.html in Chromium, and takes a picture of its beginning.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image

import reelscope
from reelscope.engines.browser import find_browser
from reelscope.settings import Settings

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "data/tiktok_videos/mira.bakes"
PICTURE = ROOT / "docs/images/report.png"
WIDTH_PX, HEIGHT_PX = 1280, 1670
STEP = 5
"""Between the levels of a colour in the saved picture: nobody sees it, and the file is smaller."""


def take(report: Path) -> Image.Image:
    """The beginning of the page, as a browser shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(find_browser(None)), args=["--no-sandbox"]
        )
        size = {"width": WIDTH_PX, "height": HEIGHT_PX}
        page = browser.new_page(viewport=size, color_scheme="light")
        page.goto(report.as_uri())
        shot = page.screenshot()
        browser.close()
    return Image.open(BytesIO(shot)).convert("RGB")


def save(taken: Image.Image, picture: Path) -> None:
    """As PNG; white stays white."""
    taken.point(lambda level: 255 - round((255 - level) / STEP) * STEP).save(picture, optimize=True)


def main() -> None:
    """Analyse, open, take, save."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else PICTURE
    with tempfile.TemporaryDirectory() as data:
        settings = Settings.model_validate({"paths": {"data": Path(data)}})
        reelscope.analyze(folder, settings=settings)
        (report,) = Path(data).glob("analysis_results/*/report.html")
        taken = take(report)
    picture.parent.mkdir(parents=True, exist_ok=True)
    save(taken, picture)


if __name__ == "__main__":
    main()

"""Strip the notebooks of their outputs, run them on the sample, and write them as pages.

    python scripts/render_notebooks.py [--into FOLDER] [--workspace FOLDER]

`make notebooks` calls it. Each of notebooks/*.ipynb becomes docs/notebooks/<name>.html: one file
with its pictures, without scripts, which fetches nothing. They run in a copy of the sample, so
that paths are short and nothing of this machine shows, without a network, without weights and
without keys. A workspace that is named is kept: the next call takes its analysis from there.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from html import escape
from io import BytesIO
from pathlib import Path

import nbformat
from jinja2 import Environment
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
PAGES = ROOT / "docs" / "notebooks"
TIMEOUT_S, START_S = 900, 300
WIDEST_PX, QUALITY = 1320, 82
"""Of pictures; WebP keeps lines sharp and pages small."""

SECRETS = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$|^(REELSCOPE|OPENAI|TIKTOK)_", re.IGNORECASE)
"""Names of environment variables that a notebook here does not see."""
WORK_TIME = re.compile(r"(<tr><td><code>\w+</code></td><td>[^\n]*?</td>)<td>\d+\.\d\d</td>")
"""How long a stage took, in the table of a record: that tells of the machine alone."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="source-sha256" content="{{ fingerprint }}">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; --ink: #30405a; --pale: #6b7587; --line: #e3e7ee; }
body { margin: 0; background: #fff; color: #1d2635; overflow-wrap: break-word;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1.2rem 1.4rem 4rem; }
h1, h2, h3 { color: var(--ink); line-height: 1.2; }
h1 { font-size: 2rem; margin: .8rem 0; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .6rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
.prose > p, .prose > ul { max-width: 46rem; }
.about { color: var(--pale); font-size: .87rem; }
a { color: #2f6fbf; }
pre { margin: .5rem 0; padding: .65rem .9rem; overflow-x: auto; border-radius: 6px;
  font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .88em; }
.prose pre, .code pre { background: #f4f6f9; }
.code { border-left: 3px solid #c9d3e3; margin: 1rem 0 .6rem; }
.out { margin: .6rem 0 1.4rem; overflow-x: auto; }
.out pre { padding: .2rem 0; white-space: pre-wrap; }
.out > img { max-width: 100%; height: auto; display: block; }
.out > table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; }
.out > table th { border-bottom: 2px solid var(--line); color: var(--ink); }
.out > table td { border-bottom: 1px solid var(--line); }
.out p { color: var(--pale); font-size: .87rem; }
{{ colours }}
</style>
</head>
<body><main>
<p class="about">{% for other in others %}<a href="{{ other }}.html">{{ other }}</a> · {% endfor %}
made from <code>notebooks/{{ name }}.ipynb</code> by <code>make notebooks</code>, on the sample that
comes with Reelscope, without network, weights or keys</p>
{{ body }}
</main></body>
</html>
"""


class NotPortableError(Exception):
    """A page shows something of the machine that it was made on."""


def main() -> None:
    """Strip, run, write."""
    parser = argparse.ArgumentParser(description="Write the notebooks as pages.")
    parser.add_argument("--into", type=Path, default=PAGES, help="default: docs/notebooks")
    parser.add_argument("--workspace", type=Path, help="copy of the sample to run in; it is kept")
    asked = parser.parse_args()
    asked.into.mkdir(parents=True, exist_ok=True)
    for path in notebooks():
        path.write_text(written(stripped(nbformat.read(path, as_version=4))), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(asked.workspace or Path(folder))
        for path in notebooks():
            page = asked.into / f"{path.stem}.html"
            page.write_text(page_of(path, executed(path, workspace), workspace), encoding="utf-8")
            print(f"{page}: {page.stat().st_size / 1e6:.2f} MB")


def notebooks() -> list[Path]:
    """By name."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


# --------------------------------------------------------------------------- notebooks


def stripped(notebook: NotebookNode) -> NotebookNode:
    """Without outputs, counters, and what an editor remembers of its cells."""
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(about)
    return notebook


def written(notebook: NotebookNode) -> str:
    """As it is kept."""
    return nbformat.writes(notebook, indent=1) + "\n"


def fingerprint(path: Path) -> str:
    """sha256 over the cells of a notebook: what its page was made from."""
    cells = nbformat.read(path, as_version=4).cells
    told = json.dumps([[cell.cell_type, cell.source] for cell in cells])
    return hashlib.sha256(told.encode("utf-8")).hexdigest()


def make_workspace(folder: Path) -> Path:
    """A copy of the sample with the settings, laid out like the repository."""
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    shutil.copy(ROOT / "data/creators.csv", folder / "data")
    for name in ("config", "data/tiktok_videos"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    return folder


def executed(path: Path, workspace: Path, *, more: dict[str, str] | None = None) -> NotebookNode:
    """The notebook with its outputs.

    Args:
        path: of the notebook.
        workspace: from `make_workspace`.
        more: environment variables for it.

    Raises:
        CellExecutionError: a cell failed.
    """
    environment = {name: text for name, text in os.environ.items() if not SECRETS.search(name)}
    environment |= {"REELSCOPE_MODELS__OFFLINE": "true"} | (more or {})
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        startup_timeout=START_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(workspace / "notebooks")}},
    )
    client.execute(env=environment)
    return notebook


# ------------------------------------------------------------------------------- pages


def page_of(path: Path, notebook: NotebookNode, workspace: Path) -> str:
    """The page of an executed notebook.

    Raises:
        NotPortableError: it shows a path or the name of this machine.
    """
    colours = HtmlFormatter(style="default").get_style_defs(".code")
    html = (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            fingerprint=fingerprint(path),
            title=notebook.cells[0].source.partition("\n")[0].lstrip("# "),
            name=path.stem,
            others=[other.stem for other in notebooks() if other.stem != path.stem],
            colours=markup(str(colours)),
            body=markup("\n".join(cells_of(notebook))),
        )
    )
    if found := traces(html, workspace):
        raise NotPortableError(f"{path.name} shows {', '.join(found)}")
    return html


def markup(html: str) -> object:
    """HTML of our own, which the template takes as it is."""
    from markupsafe import Markup

    return Markup(html)  # noqa: S704 - made above, of escaped parts


def traces(html: str, workspace: Path) -> list[str]:
    """What a page shows of the machine: folders, its name."""
    shown = re.sub(r"<style>.*?</style>|data:[^\"')]+", "", html, flags=re.DOTALL)
    local = {str(workspace), str(workspace.resolve()), str(ROOT.resolve()), str(Path.home())}
    names = sorted({*local, platform.node()} - {"", "/"})
    return [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", shown)]


def cells_of(notebook: NotebookNode) -> Iterator[str]:
    """Prose, code and outputs as HTML, in order."""
    prose, heading = MarkdownIt("commonmark", {"html": False}).enable("table"), ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(iter(re.findall(r"^#+ (.*)", cell.source, re.MULTILINE)), heading)
            yield f'<div class="prose">{prose.render(cell.source)}</div>'
        elif cell.cell_type == "code":
            yield f'<div class="code">{code_html(cell.source)}</div>'
            shown = "".join(output_html(output, heading) for output in cell.outputs)
            yield f'<div class="out">{shown}</div>' if shown else ""


def code_html(source: str) -> str:
    """Coloured Python."""
    return str(highlight(source, PythonLexer(), HtmlFormatter(nowrap=False)))


def output_html(output: NotebookNode, heading: str) -> str:
    """A picture, a table or text; the best that there is."""
    if output.output_type == "stream":
        return f"<pre>{escape(output.text)}</pre>"
    data = output.get("data", {})
    if "image/png" in data:
        return picture_html(base64.b64decode(data["image/png"]), heading)
    if "text/html" in data:
        return WORK_TIME.sub(r"\1<td></td>", data["text/html"])
    return f"<pre>{escape(data.get('text/plain', ''))}</pre>"


def picture_html(png: bytes, heading: str) -> str:
    """The picture inside the page, as WebP and not wider than WIDEST_PX."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    if picture.width > WIDEST_PX:
        height = round(picture.height * WIDEST_PX / picture.width)
        picture = picture.resize((WIDEST_PX, height), Image.Resampling.LANCZOS)
    packed = BytesIO()
    picture.save(packed, "WEBP", quality=QUALITY, method=6)
    text = base64.b64encode(packed.getvalue()).decode("ascii")
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="data:image/webp;base64,{text}" {size} alt="{escape(heading)}">'


if __name__ == "__main__":
    main()

"""Notebooks are kept without outputs, run from the first cell to the last, and have a page."""

from __future__ import annotations

import ast
import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES, MOST_PAGE_BYTES = 16, 1_500_000
LOCAL = re.compile(r"/(home|root|tmp|Users|work|private|var)/|[A-Z]:\\", re.IGNORECASE)
SECRET = re.compile(r"\b(sk-[\w-]{16,}|hf_\w{20,}|gh[pousr]_\w{20,}|msToken=\w+)")
"""Keys as OpenAI, Hugging Face and GitHub write them, and TikTok's token."""
FETCHED = re.compile(r"url\((?![\"']?(?:data:|#))|@import")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "render_notebooks", ROOT / "scripts/render_notebooks.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def workspace(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared: what one notebook analysed, the next one finds."""
    made = script.make_workspace(tmp_path_factory.mktemp("notebooks"))
    assert isinstance(made, Path)
    return made


def page_of(path: Path) -> Path:
    return ROOT / "docs" / "notebooks" / f"{path.stem}.html"


def test_the_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["batch", "explore"]


# ---------------------------------------------------------------------------- as kept


@each_notebook
def test_it_is_kept_without_outputs(script: ModuleType, path: Path) -> None:
    kept = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(kept, as_version=4)
    nbformat.validate(notebook)
    assert script.written(script.stripped(notebook)) == kept, "run: make notebooks"


def test_outputs_counters_and_an_editors_notes_are_stripped(script: ModuleType) -> None:
    cell = new_code_cell("1 + 1", execution_count=7777, metadata={"collapsed": True})
    cell.outputs = [new_output("stream", text="/home/anna")]
    notebook = new_notebook(cells=[cell], metadata={"widgets": {}, "vscode": {"x": 1}})
    kept = script.written(script.stripped(notebook))
    assert '"1 + 1"' in kept
    for left in ("anna", "7777", "collapsed", "widgets", "vscode"):
        assert left not in kept


@each_notebook
def test_its_cells_are_short_and_compile_and_tell_nothing_of_a_machine(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not LOCAL.search(cell.source)
        assert not SECRET.search(cell.source)
        if cell.cell_type == "code":
            lines = cell.source.splitlines()
            assert len(lines) <= MOST_LINES
            ast.parse("\n".join("pass" if line.startswith("%") else line for line in lines))


# --------------------------------------------------------------------------- as a page


@each_notebook
def test_its_page_is_of_today(script: ModuleType, path: Path) -> None:
    page = page_of(path).read_text(encoding="utf-8")
    made_from = re.search(r'name="source-sha256" content="(\w+)"', page)
    assert made_from
    assert made_from[1] == script.fingerprint(path), "run: make notebooks"


@each_notebook
def test_its_page_needs_nothing_else_and_tells_nothing_of_a_machine(path: Path) -> None:
    page = page_of(path).read_text(encoding="utf-8")
    assert len(page.encode("utf-8")) < MOST_PAGE_BYTES
    check_page(page)
    assert page.count('<img src="data:image/webp;base64,') >= 3


class Tags(HTMLParser):
    """Names of the elements, and the addresses that they name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, text in attrs:
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "href", "srcset", "data", "action", "poster"):
                self.addresses.add(text or "")


def check_page(page: str) -> None:
    """It is whole in itself, runs nothing, and tells nothing of a machine."""
    assert "Content-Security-Policy" in page
    tags = Tags(page)
    assert not tags.names & {"script", "iframe", "object", "embed", "link", "base", "form"}
    links = {address for address in tags.addresses if not address.startswith(("data:image/", "#"))}
    assert links <= {f"{path.stem}.html" for path in NOTEBOOKS}
    shown = re.sub(r"data:image/[\w+]+;base64,[\w+/=]+", "data:", page)
    assert not FETCHED.search(shown)
    assert not LOCAL.search(shown)
    assert not SECRET.search(shown)


def test_hostile_outputs_stay_text(script: ModuleType, workspace: Path) -> None:
    hostile = "</pre><script>alert(1)</script><img src=//evil.example>"
    cell = new_code_cell("1")
    cell.outputs = [
        new_output("stream", text=hostile),
        new_output("execute_result", {"text/plain": hostile}),
    ]
    notebook = new_notebook(cells=[new_markdown_cell(f"# Title\n{hostile}"), cell])
    page = script.page_of(NOTEBOOKS[0], notebook, workspace)
    check_page(page)
    assert page.count("&lt;script&gt;alert(1)") == 3


@pytest.mark.parametrize("where", ["output", "prose"])
def test_a_page_with_a_path_of_this_machine_is_refused(
    script: ModuleType, workspace: Path, where: str
) -> None:
    cell = new_code_cell("1")
    cell.outputs = [new_output("stream", text=f"{workspace}/x" if where == "output" else "x")]
    prose = new_markdown_cell(f"# See {ROOT}/data" if where == "prose" else "# See")
    with pytest.raises(script.NotPortableError, match="shows"):
        script.page_of(NOTEBOOKS[0], new_notebook(cells=[prose, cell]), workspace)


def test_how_long_a_stage_took_is_left_out(script: ModuleType) -> None:
    row = "<tr><td><code>probe</code></td><td>ok</td><td>0.12</td><td>reelscope 1</td></tr>"
    output = new_output("execute_result", {"text/html": f"{row}\n<td>3.50</td>"})
    shown = script.output_html(output, "")
    assert "0.12" not in shown
    assert "reelscope 1" in shown
    assert "3.50" in shown


# --------------------------------------------------------------------------------- runs


@pytest.mark.slow
@pytest.mark.timeout(900)
@each_notebook
def test_it_runs(script: ModuleType, workspace: Path, path: Path) -> None:
    """Without network, weights and keys; reading every frame is what takes long."""
    notebook = script.executed(path, workspace, more={"REELSCOPE_TEXT__MAX_FRAMES": "2"})
    assert pictures(notebook) >= 3
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", f"it warns: {output.get('text')}"
    page = script.page_of(path, notebook, workspace)
    check_page(page)
    assert "models pull" in page, "what is missing is said with its remedy"


def pictures(notebook: NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)

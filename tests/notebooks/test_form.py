"""What a notebook may hold: short cells, and parameters that nothing overwrites.

And which outputs the regression test compares: all but those of a cell that says why not.
"""

import ast
import re

import nbformat
import pytest

from tests import ROOT

LONGEST_CELL = 30  # lines
IGNORED = "nbval-ignore-output"
REASON = re.compile(r"# Not compared: \w.*")
# With a decimal point, or of two digits or more; thousands may be set apart by commas.
NUMBER = re.compile(r"(?<![\w.])(\d[\d,]*\.\d+|\d[\d,]*\d)(?![\w.]*\.\w)")
FEWEST_COMPARED = 300
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


RUNNERS_CELLS = {"answer", "introduction", "injected-parameters"}  # which a run adds


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def assigned(source):
    """Names that a cell gives a value, in loops and `with` too, but not inside functions."""
    names, waiting = set(), [ast.parse(source)]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            scopes = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)
            if not isinstance(node, (*scopes, ast.GeneratorExp)):
                waiting.append(node)
    return names


def test_what_is_assigned():
    source = "a, b = 1, 2\nfor c in range(3):\n    d = [e for e in 'ef']\nf(g=1)\nh += 1"
    assert assigned(source) == {"a", "b", "c", "d", "h"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short(path):
    """The cell of parameters is a list, a line each: what it holds is not read in one piece."""
    lines = {
        cell.id: len(cell.source.splitlines())
        for cell in code_cells(path)
        if "parameters" not in cell.metadata.get("tags", [])
    }
    assert {name: count for name, count in lines.items() if count > LONGEST_CELL} == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_overwrites_a_parameter(path):
    """A cell that is run twice gives the same."""
    cells = code_cells(path)
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    parameters = set().union(*(assigned(cell.source) for cell in tagged))
    assert parameters
    overwritten = {
        cell.id: names
        for cell in cells
        if cell not in tagged and (names := assigned(cell.source) & parameters)
    }
    assert overwritten == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_an_output_that_is_not_compared_has_a_reason(path):
    for cell in code_cells(path):
        reason = bool(REASON.fullmatch(cell.source.split("\n")[0]))
        tags = [tag for tag in cell.metadata.get("tags", []) if "nbval" in tag]
        assert tags == ([IGNORED] if reason else []), f"{path.stem}, {cell.id}"
        assert not re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source)  # nbval's other way


def compared_numbers(notebook):
    """Numbers in the texts that nbval compares, those of a table's HTML left out."""
    texts = [
        text
        for cell in notebook.cells
        if cell.cell_type == "code" and IGNORED not in cell.metadata.get("tags", [])
        for output in cell.outputs
        for text in (
            output.get("text", ""),
            *(output.get("data", {}).get(f"text/{kind}", "") for kind in ("plain", "markdown")),
        )
        if not text.startswith("<")  # <Figure size ...>
    ]
    return [number for text in texts for number in NUMBER.findall(text)]


def test_which_numbers_are_compared():
    outputs = [
        nbformat.v4.new_output("stream", text="80,000 lists of 8 to 12, 3.5 % of v2 (10^5)\n"),
        nbformat.v4.new_output("display_data", {"text/plain": "<Figure size 858x374>"}),
        nbformat.v4.new_output("display_data", {"text/plain": "0  -0.25", "text/html": "<b>77"}),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("f()", outputs=outputs),
            nbformat.v4.new_code_cell("g()", outputs=outputs, metadata={"tags": [IGNORED]}),
        ]
    )
    assert compared_numbers(notebook) == ["80,000", "12", "3.5", "10", "0.25"]


def test_the_regression_test_compares_hundreds_of_numbers():
    """In the committed notebooks, each of which has its share."""
    counts = {
        path.stem: len(compared_numbers(nbformat.read(path, as_version=4)))
        for path in sorted((ROOT / "outputs/quick").glob("*.ipynb"))
    }
    assert sum(counts.values()) >= FEWEST_COMPARED, counts
    assert min(counts.values()) >= 20, counts


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_is_called_as_one_that_a_run_adds(path):
    """A run would write its answer over it."""
    assert not RUNNERS_CELLS & {cell.id for cell in nbformat.read(path, as_version=4).cells}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "outputs" / "quick").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_an_executed_notebook_has_its_notebook_s_code(path):
    """Other profiles may be of an older notebook; quick is executed with every change."""
    source = {c.id: c.source for c in code_cells(ROOT / "notebooks" / path.name)}
    executed = {c.id: c.source for c in code_cells(path) if c.id not in RUNNERS_CELLS}
    assert executed == source

"""What a notebook may hold: short cells, and parameters that nothing overwrites."""

import ast

import nbformat
import pytest

from tests import ROOT

LONGEST_CELL = 30  # lines
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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

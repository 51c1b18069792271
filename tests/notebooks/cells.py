"""Cells of a notebook's source in this process: what they refuse, without a kernel's start."""

import json
import os

import matplotlib as mpl

from lib.run.parameters import check_parameters, declared
from tests import ROOT


def run_cells(notebook, root, last, **parameters):
    """Run the code cells of notebooks/NOTEBOOK.ipynb up to the one whose id is `last`.

    Args:
      notebook: its name without suffix; root: folder where its relative paths start.
      parameters: in place of the notebook's defaults, checked as the runner does.

    Returns: the names that the cells leave behind.
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    source = json.loads(path.read_text(encoding="utf-8"))
    values = check_parameters(parameters, declared(source, source=notebook), source="test")
    names, folder, before = {"__name__": "__main__"}, os.getcwd(), os.environ.copy()
    os.environ["RETRIEVAL_SCALING_ROOT"] = str(root)
    try:
        with mpl.rc_context():  # use_style's settings end here
            for cell in source["cells"]:
                if cell["cell_type"] == "code":
                    code = compile("".join(cell["source"]), f"{notebook}:{cell['id']}", "exec")
                    exec(code, names)
                if "parameters" in cell["metadata"].get("tags", []):
                    names |= values
                if cell["id"] == last:
                    return names
        raise ValueError(f"{path}: no cell has the id {last!r}")
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)

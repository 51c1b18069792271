"""Cells of a notebook's source in this process: what they leave or refuse, without a kernel."""

import json
import os
from unittest import mock

import matplotlib as mpl
import matplotlib.pyplot as plt
from IPython.display import Markdown

from lib.run.parameters import check_parameters, declared, read_parameters
from tests import ROOT


def leave_results(*arguments, **parameters):
    """`run_cells` for what it writes alone; to be carried out in a child process.

    Where an engine sets TensorFlow's threads, TensorFlow must not have started before.
    """
    run_cells(*arguments, **parameters)


def run_cells(notebook, root, last=None, *, profile=None, **parameters):
    """Run the code cells of notebooks/NOTEBOOK.ipynb up to the one whose id is `last`, or all.

    Args:
      notebook: its name without suffix; root: folder where its relative paths start.
      profile: whose parameters to start from; None: the notebook's defaults.
      parameters: in place of these, checked as the runner does.

    Returns: the names that the cells leave behind; "shown" among them is the Markdown that a
      reader sees, of cells and of outputs.
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    source = json.loads(path.read_text(encoding="utf-8"))
    given = read_parameters(ROOT / f"params/{profile}/{notebook}.yaml") if profile else {}
    defaults = declared(source, source=notebook)
    values = check_parameters(given | parameters, defaults, source="test")
    names, shown, folder, before = {"__name__": "__main__"}, [], os.getcwd(), os.environ.copy()

    def display(*values, **_):
        shown.extend(value.data for value in values if isinstance(value, Markdown))

    os.environ["RETRIEVAL_SCALING_ROOT"] = str(root)
    try:
        with (
            mpl.rc_context(),  # use_style's settings end here
            mock.patch("IPython.display.display", display),
            mock.patch("lib.notebook.report.display", display),
        ):
            for cell in source["cells"]:
                text = "".join(cell["source"])
                if cell["cell_type"] == "code":
                    exec(compile(text, f"{notebook}:{cell['id']}", "exec"), names)
                else:
                    shown.append(text)
                if "parameters" in cell["metadata"].get("tags", []):
                    names |= values
                if cell["id"] == last:
                    break
            else:
                if last:
                    raise ValueError(f"{path}: no cell has the id {last!r}")
        return names | {"shown": "\n".join(shown)}
    finally:
        plt.close("all")
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)

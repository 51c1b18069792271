"""Notebooks and results to run the runner on."""

import json

import nbformat
import yaml

from lib.run.execute import KERNELSPEC


def add_notebook(repository, stem, parameters, *cells, values=None):
    """A notebook of code cells, and its file in the profile quick."""
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(source) for source in cells]
    notebook = nbformat.v4.new_notebook(
        cells=[first, *rest],
        metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}},
    )
    nbformat.write(notebook, repository / f"notebooks/{stem}.ipynb")
    (repository / f"params/quick/{stem}.yaml").write_text(yaml.safe_dump(values or {}))


def add_results(folder, notebook="00_logs", **values):
    """The summary.json of a notebook that ran into `folder`."""
    folder.mkdir(parents=True)
    summary = {"notebook": notebook, "answer": "", "values": {}, "claims": [], **values}
    (folder / "summary.json").write_text(json.dumps(summary))

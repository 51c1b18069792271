"""The site for readers: executed notebooks, scorecards, benchmarks and the API as static pages.

`make site` builds it. The repository's root is the source folder, so that a link in README.md or
docs/ works on the site as it does in the checkout. Nothing is executed and nothing fetched: the
notebooks' outputs are the committed ones, and lib is read, not imported.
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from api_pages import write_pages
from benchmarks_shown import markdown_table
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]

project = "Retrieval scaling"
copyright = author = "the authors of Retrieval scaling, Apache-2.0"
root_doc = "README"
language = "en"
extensions = ["myst_nb"]
include_patterns = ["README.md", "docs/**", "outputs/*/*.ipynb", "outputs/*/scorecard.md"]
exclude_patterns = [".*", "site", "lib", "tests", "**/.ipynb_checkpoints", "**.unfinished.ipynb"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"  # erased progress bars
nb_render_markdown_format = "gfm"
nb_code_prompt_show = nb_code_prompt_hide = "Code"
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_last_updated_fmt = None
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "navbar_persistent": [],
    "home_page_in_toc": False,
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
}


class Benchmark(SphinxDirective):
    """`{benchmark} NAME`: the table of outputs/bench/NAME.json."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        self.env.note_dependency(str(ROOT / "outputs" / "bench" / f"{name}.json"))
        return self.parse_text_to_nodes(markdown_table(name))


def with_contents(app, docname, source):
    """Give the first page the site's contents, which it does not need in the checkout."""
    if docname == root_doc:
        source[0] += "\n" + (ROOT / "docs/contents.txt").read_text()


def with_folded_code(app, docname, source):
    """Fold a notebook's code: a page reads as question, answer, figures; a click shows the rest.

    Cells that follow each other and show nothing are one fold.
    """
    if not docname.startswith("outputs/") or not source[0].lstrip().startswith("{"):
        return
    notebook, cells = json.loads(source[0]), []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            tag = "hide-input" if cell["outputs"] else "hide-cell"
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), tag]
            if cells and all(
                "hide-cell" in one["metadata"].get("tags", ()) for one in (cells[-1], cell)
            ):
                cells[-1]["source"] = [*cells[-1]["source"], "\n\n", *cell["source"]]
                continue
        cells.append(cell)
    source[0] = json.dumps({**notebook, "cells": cells})


def with_first_page(app, error):
    """The first page under the name that a web server and a reader look for."""
    if error is None and app.builder.format == "html":
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def with_api(app):
    """Pages of lib's docstrings, made anew by every build."""
    write_pages(ROOT / "lib", ROOT / "docs" / "api")


def setup(app):
    app.add_directive("benchmark", Benchmark)
    app.connect("builder-inited", with_api)
    app.connect("source-read", with_contents)
    app.connect("source-read", with_folded_code)
    app.connect("build-finished", with_first_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

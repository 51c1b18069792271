"""`python -m lib decide`: from a reader's tables to the page."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.infra.files import replacing
from lib.run import places
from lib.run.decide import notebooks
from lib.run.decide.page import write_page
from lib.run.decide.question import ask

REPORT = "report.html"


def decide(
    path: str | os.PathLike | None,
    overrides: Mapping[str, Any] | None = None,
    folder: str | os.PathLike = "decision",
) -> Path:
    """Check a question, run the notebooks that answer it, write the page.

    Args:
      path, overrides: as `lib.run.decide.question.ask`.
      folder: of notebooks, tables and the page; made if it is not there. The same question asked
        again runs nothing anew.

    Returns: path of the page.
    Raises: ValueError or TypeError for a question that cannot be answered,
      `lib.run.execute.NotebookError` for a notebook that fails.
    """
    question = ask(path, overrides)
    with places.rooted(folder) as place:
        jobs = notebooks.jobs(question)
        notebooks.run(jobs)
        html = write_page(question, jobs)
        with replacing(place / REPORT) as temporary:
            temporary.write_text(html, encoding="utf-8")
    return place / REPORT

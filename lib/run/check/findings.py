"""All checks of one notebook, or of the notebooks of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib.run import places
from lib.run.check.inputs import Inputs, open_inputs
from lib.run.check.kinds import check_values
from lib.run.check.parameters import kinds_of
from lib.run.check.relations import check_relations
from lib.run.plan import Job, summary_of
from lib.run.resume import is_finished


def check(stem: str, values: Mapping[str, Any]) -> list[str]:
    """Refuse what a notebook cannot do with its parameters; say what looks wrong.

    Args:
      stem: the notebook, such as "04_roi_design".
      values: {name: value} of its parameters; other names are passed over.

    Returns: a sentence on each thing that may be a mistake, [] where nothing looks like one.
    Raises: ValueError, in one line: which parameter or file, what it holds, what was expected.

    >>> check("07_online_pipeline", {"learning_rate": -0.1})
    Traceback (most recent call last):
    ValueError: learning_rate must be a number > 0; got -0.1
    """
    return examine(stem, values).suspicions()


def say(stem: str, values: Mapping[str, Any]) -> None:
    """`check` in a notebook's cell: what looks wrong is printed, and stands in summary.json.

    Args:
      values: the notebook's globals().
    """
    from lib.notebook.report import SUSPICIONS  # brings what draws figures

    SUSPICIONS[stem] = check(stem, values)
    for sentence in SUSPICIONS[stem]:
        print(f"Suspicious: {sentence}")


def examine(
    stem: str,
    values: Mapping[str, Any],
    pending: Mapping[Path, str] | None = None,
    opened: dict | None = None,
) -> Inputs:
    """As `check`, but with the files that were opened; `pending` and `opened` as of `Inputs`."""
    values = {name: values[name] for name in kinds_of(stem) if name in values}
    check_values(values, kinds_of(stem))
    check_relations(stem, values)
    if "output" in values:
        _check_output(stem, values["output"])
    with contextlib.chdir(places.root()):
        return open_inputs(stem, values, pending, opened)


def examine_run(
    jobs: Iterable[Job], *, force: bool = False, finished: bool = False
) -> list[tuple[Job, Inputs]]:
    """`examine` for the notebooks of a run that will run.

    What an earlier notebook of the run will write is not demanded of a later one.

    Args:
      jobs: of `lib.run.plan.plan`; force: whether those that are up to date run too.
      finished: whether those that will not run are examined as well.

    Raises: ValueError beginning with the notebook's name.
    """
    found, pending, opened = [], {}, {}
    for job in jobs:
        # One that is up to date runs all the same after one that it follows.
        runs = force or bool(pending) or not is_finished(job)
        if runs or finished:
            try:
                found.append((job, examine(job.stem, job.values, pending, opened)))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{job.stem}: {' '.join(str(error).split())}") from None
        if runs:
            code = [cell["source"] for cell in job.notebook["cells"] if cell["cell_type"] == "code"]
            pending[job.output.resolve()] = "\n".join(code)
    return found


def _check_output(stem, output):
    """What `lib.run.plan` refuses of an output, for a notebook that runs without it."""
    folder = places.root() / output
    if folder.is_file():
        raise ValueError(f"output {output!r} is a file; expected a folder")
    summary = summary_of(folder)
    if summary and summary["notebook"] != stem:
        raise ValueError(
            f"output {output!r} holds results of {summary['notebook']}, which {stem} would "
            f"replace; expected a folder of its own, as outputs/mine/{stem}"
        )

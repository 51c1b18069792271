"""`python -m lib check`: what a run would use, and what is wrong with it, without running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lib.run.check.findings import examine_run
from lib.run.check.inputs import Inputs
from lib.run.check.kinds import shown
from lib.run.parameters import declared
from lib.run.plan import Job, plan

MOST_COLUMNS = 12  # of a table that are named


def described(
    names: Iterable[str], profile: str, overrides: Mapping[str, Any] | None = None
) -> list[str]:
    """Check the notebooks of a profile and describe what they would use, line by line.

    Args: as of `lib.run.plan.plan`.
    Raises: ValueError or TypeError, in one line, for what a run would refuse.
    """
    found = examine_run(plan(names, profile, overrides), finished=True)
    lines, doubts = [], 0
    for job, inputs in found:
        sentences = inputs.suspicions()
        doubts += len(sentences)
        lines += [f"{job.stem} -> {job.values['output']}"]
        lines += [f"  {line}" for line in [*_changed(job), *_files(inputs)]]
        lines += [f"  suspicious: {sentence}" for sentence in sentences]
    said = f"{doubts} suspicious, see above" if doubts else "nothing is suspicious"
    count = f"{len(found)} notebook{'s' if len(found) > 1 else ''} can run"
    return [*lines, f"{count}; {said}"]


def _changed(job: Job):
    """Parameters that differ from the notebook's defaults."""
    defaults = declared(job.notebook, source=job.stem)
    return [
        f"{name} = {shown(value)}"
        for name, value in job.given.items()
        if name != "output" and value != defaults[name]
    ]


def _files(inputs: Inputs):
    for name, table in inputs.tables.items():
        columns = [str(column) for column in table][:MOST_COLUMNS]
        more = ", ..." if len(table.columns) > MOST_COLUMNS else ""
        yield (
            f"table {name}: {inputs.values[name]}: {len(table):,} rows of {len(table.columns)} "
            f"columns, {', '.join(columns)}{more}"
        )
    for kind, facts in (("log", inputs.logs), ("model", inputs.models)):
        for name, known in facts.items():
            said = "; ".join(f"{fact} {_plain(value)}" for fact, value in known.items())
            yield f"{kind} {name}: {inputs.values[name]}: {said}"
    for name, path in inputs.awaited.items():
        yield f"{name}: {path}: not there yet, an earlier notebook of this run writes it"


def _plain(value):
    if isinstance(value, np.datetime64):
        return str(value)[:19]
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

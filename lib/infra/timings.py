"""Results that hang on a clock: measured, or taken from the record of an earlier run.

No timing comes twice, so that nothing computed from one could be held against committed
results. A record keeps each timed result beside its task; a run that is given the record
computes what the run that wrote it computed, on any machine, in seconds.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from lib.infra import sweep

RECORD = "RETRIEVAL_SCALING_RECORD"  # environment: the file of a record, unset to measure all


class Timings:
    """Timed tasks of a run, kept in the folder of a sweep and in a record.

    Args:
      folder: of `lib.infra.sweep.run`.
      record: CSV file of the `table` of an earlier run, whose results stand for those of the
        tasks that it holds; all others are measured. By default the one that the environment
        variable RETRIEVAL_SCALING_RECORD names; None for none.

    Raises: ValueError, naming the file, for a record that is none.
    """

    def __init__(self, folder: Any, record: Any = None) -> None:
        self.folder = Path(folder)
        record = record or os.environ.get(RECORD)
        self._known = _read_record(record) if record else {}
        self._rows = {}

    def run(self, function: Callable, tasks: list[dict], **settings: Any) -> list[dict]:
        """`lib.infra.sweep.run`, one task at a time, of the tasks that the record does not hold.

        A result whose `failure` gives a reason is not kept for the next run: what a busy machine
        could not measure, a quiet one can.

        Args:
          function, tasks, settings: as of `lib.infra.sweep.run`. A task's `on` says which machine
            it is measured on and is no part of the record.
        """
        keys = [(function.__qualname__, _text({**task, "on": None})) for task in tasks]
        missing = [task for key, task in zip(keys, tasks, strict=True) if key not in self._known]
        measured = iter(sweep.run(function, missing, self.folder, n_jobs=1, **settings))
        for key in keys:
            result = self._known.get(key)
            self._rows[key] = _text(next(measured)) if result is None else result
        results = [json.loads(self._rows[key]) for key in keys]
        for task, result in zip(tasks, results, strict=True):
            if result.get("failure"):
                path = sweep.result_path(function, task, self.folder)
                path.with_name(f"{path.name}.json").unlink(missing_ok=True)
        return results

    def table(self) -> pd.DataFrame:
        """The record: function, task and result of every task of this run, as JSON."""
        rows = [[*key, result] for key, result in self._rows.items()]
        return pd.DataFrame(rows, columns=["function", "task", "result"])


def _read_record(path):
    """{(function, task): result} of a record's file."""
    try:
        rows = pd.read_csv(path, dtype=str)[["function", "task", "result"]]
        known = {(row.function, row.task): row.result for row in rows.itertuples()}
        for result in known.values():
            json.loads(result)
    except (ValueError, KeyError, TypeError) as error:  # pandas' and json's own among them
        raise ValueError(
            f"{path}: expected a record of timings, with columns function, task and result, as "
            f"the timings.csv of notebook 03; {str(error).splitlines()[0]}"
        ) from None
    return known


def _text(value):
    return json.dumps(value, sort_keys=True)

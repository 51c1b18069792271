"""What a notebook leaves behind: tables, figures, claims and summary.json.

A claim is a sentence with a number that this run computed, its interval, and where
it can be held against something: the published value. Its verdict is computed, too:

  reproduces        the published value lies in the interval or within the tolerance
  holds             no published value; what the sentence asserts is true of this run
  does not hold     the contrary: a result like any other, and said
  cannot be tested  nothing here could decide it, or the run found no finite number
"""

import dataclasses
import json
import numbers
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from lib.infra.files import replacing, write_json

VERDICTS = ("reproduces", "holds", "does not hold", "cannot be tested")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One row of the claims table; see the module."""

    name: str
    value: float | None
    interval: list | None
    published: float | None
    source: str
    tolerance: float | None
    verdict: str


class Report:
    """Collects the results of one notebook in the folder `output`.

    Args:
      notebook: its name, such as "02_bnsl_fitting".
      output: folder of tables, figures and summary.json.

    >>> import tempfile
    >>> report = Report("02_bnsl_fitting", tempfile.mkdtemp())
    >>> report.claim("R/R* grows with FLOPs", 0.03, holds=True, source="this run").verdict
    'holds'
    """

    def __init__(self, notebook, output):
        self.notebook, self.output = notebook, Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.answer, self.values, self.claims = "", {}, []

    def table(self, name, frame):
        """Write a table as CSV (lists as JSON text) and return it."""
        frame = pd.DataFrame(frame)
        with replacing(self.output / f"{name}.csv") as temporary:
            frame.map(_as_json).to_csv(temporary, index=False)
        return frame

    def figure(self, name, figure):
        """Write a figure as PNG and return it."""
        with replacing(self.output / f"{name}.png") as temporary:
            figure.savefig(temporary, metadata={"Software": None})
        return figure

    def say(self, answer, **values):
        """Show the notebook's answer, a sentence made of this run's numbers."""
        self.answer = answer
        self.values |= {name: _plain(value) for name, value in values.items()}
        display(Markdown(f"**Answer.** {answer}"))

    def claim(
        self, name, value=None, *, interval=None, published=None, tolerance=None, holds=None, source
    ):
        """Add a claim; its verdict follows from the numbers.

        Args:
          name: the sentence that is claimed.
          value, interval: what this run found, and (low, high).
          published, tolerance: the value to hold it against, and how near counts as
            reproduced beside lying in the interval.
          holds: for a claim without a published value, whether it is true; None where
            nothing here could decide it.
          source: the paper's place, or how the number came about.
        """
        interval = None if interval is None else tuple(interval)
        try:
            verdict = _verdict(value, interval, published, tolerance, holds)
        except ValueError as error:
            raise ValueError(f"claim {name!r}: {error}") from None
        self.claims.append(
            Claim(
                name,
                _plain(value),
                _plain(interval),
                _plain(published),
                source,
                _plain(tolerance),
                verdict,
            )
        )
        return self.claims[-1]

    def write(self):
        """Write summary.json and return the claims as a table to show."""
        write_json(
            self.output / "summary.json",
            {
                "notebook": self.notebook,
                "answer": self.answer,
                "values": self.values,
                "claims": [dataclasses.asdict(claim) for claim in self.claims],
            },
        )
        table = pd.DataFrame([dataclasses.asdict(claim) for claim in self.claims], dtype=object)
        return table.fillna("")


def _verdict(value, interval, published, tolerance, holds):
    if published is None:
        return "cannot be tested" if holds is None else "holds" if holds else "does not hold"
    if holds is not None:
        raise ValueError("give published or holds, not both")
    if interval is None and (value is None or tolerance is None):
        raise ValueError(
            "a published value needs an interval, or a value and its tolerance, to be held against"
        )
    found = [x for x in (value, *(interval or ())) if x is not None]
    if not np.isfinite(found).all():
        return "cannot be tested"
    inside = interval is not None and interval[0] <= published <= interval[1]
    near = None not in (value, tolerance) and abs(value - published) <= tolerance
    return "reproduces" if inside or near else "does not hold"


def _as_json(cell):
    if isinstance(cell, (list, tuple, np.ndarray)):
        return json.dumps(np.asarray(cell).tolist())
    return cell


def _plain(value):
    """Numbers as Python's own, with six digits; None where not finite."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {key: _plain(element) for key, element in value.items()}
    return value

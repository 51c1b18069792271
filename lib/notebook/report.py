"""What a notebook leaves behind: tables, figures, claims and summary.json.

A claim is a sentence with a number that this run computed, its interval, and where
it can be held against something: the published value. Its verdict is computed, too:

  reproduces        the published value lies in the interval or within the tolerance
  holds             no published value; what the sentence asserts is true of this run
  does not hold     the contrary: a result like any other, and said
  cannot be tested  nothing here could decide it, or the run found no finite number
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import numbers
import os
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from lib.infra.files import replacing, write_json

VERDICTS = ("reproduces", "holds", "does not hold", "cannot be tested")
SUMMARY = "summary.json"
ANSWER = "**Answer.** "  # how the Markdown of an answer begins
# What a file format says of its making that differs between runs or installations.
NO_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
PNG_DPI = 160
MANY_POINTS = 2000  # more than these are drawn as pixels in SVG and PDF, which stay small


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

    Tables and figures stand in a folder .NOTEBOOK.unfinished below it until `write` puts
    all of them in place: a run that stops half-way leaves the earlier results whole.

    Args:
      notebook: its name, such as "02_bnsl_fitting".
      output: folder of tables, figures and summary.json.
      pdf: whether figures are also written as PDF, beside PNG and SVG.

    >>> import tempfile
    >>> report = Report("02_bnsl_fitting", tempfile.mkdtemp())
    >>> report.claim("R/R* grows with FLOPs", 0.03, holds=True, source="this run").verdict
    'holds'
    """

    def __init__(self, notebook: str, output: str | os.PathLike, pdf: bool = False) -> None:
        self.notebook, self.output, self.pdf = notebook, Path(output), pdf
        self.answer, self.values, self.claims = "", {}, []
        self._files: list[str] = []
        self._unfinished = self.output / f".{notebook}.unfinished"
        if self._unfinished.is_dir():  # of a run that stopped
            shutil.rmtree(self._unfinished)
        self.output.mkdir(parents=True, exist_ok=True)

    def table(self, name: str, frame: Any) -> pd.DataFrame:
        """Write a table as CSV (lists as JSON text) and return it."""
        frame = pd.DataFrame(frame)
        with self._file(f"{name}.csv") as path:
            frame.map(_as_json).to_csv(path, index=False)
        return frame

    def figure(self, name: str, figure: Figure) -> Figure:
        """Write a figure as PNG and SVG, and as PDF if asked for, and return it.

        The same figure gives the same files. A "$" in a label is shown as it stands:
        names come from data, and none of our labels is TeX.
        """
        _show_dollars(figure)
        _rasterise_many_points(figure)
        for kind in ("png", "svg", "pdf")[: 2 + self.pdf]:
            with (
                self._file(f"{name}.{kind}") as path,
                mpl.rc_context({"svg.hashsalt": "lib", "pdf.fonttype": 42}),
            ):
                figure.savefig(path, dpi=PNG_DPI, metadata=NO_METADATA[kind])
        return figure

    @contextlib.contextmanager
    def _file(self, name):
        """The path to write a file at that `write` will put in place under `name`."""
        with replacing(self._unfinished / name) as temporary:
            yield temporary
        self._files = [*(file for file in self._files if file != name), name]

    def say(self, answer: str, **values: Any) -> None:
        """Show the notebook's answer, a sentence made of this run's numbers."""
        self.answer = answer
        self.values |= {name: _plain(value) for name, value in values.items()}
        display(Markdown(f"{ANSWER}{answer}"))

    def claim(
        self,
        name: str,
        value: float | None = None,
        *,
        interval: Any = None,
        published: float | None = None,
        tolerance: float | None = None,
        holds: bool | None = None,
        source: str,
    ) -> Claim:
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
        claim = Claim(
            name,
            _plain(value),
            _plain(interval),
            _plain(published),
            source,
            _plain(tolerance),
            verdict,
        )
        # A cell that is run twice claims the same once.
        self.claims = [*(earlier for earlier in self.claims if earlier.name != name), claim]
        return claim

    def write(self) -> pd.DataFrame:
        """Put tables and figures in place, write summary.json; returns the claims as a table.

        The files that an earlier run listed in its summary.json and this one has not
        written are deleted. Others in the folder, such as the reader's, stay.
        """
        summary = {
            "notebook": self.notebook,
            "answer": self.answer,
            "values": self.values,
            "claims": [dataclasses.asdict(claim) for claim in self.claims],
            "files": sorted(self._files),
        }
        write_json(self._unfinished / SUMMARY, summary)  # fails, if it does, before a file moves
        for name in _listed_files(self.output / SUMMARY) - set(self._files):
            (self.output / name).unlink(missing_ok=True)
        for name in (*self._files, SUMMARY):
            # A report that is written a second time has moved its files already.
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._unfinished / name, self.output / name)
        shutil.rmtree(self._unfinished)
        table = pd.DataFrame([dataclasses.asdict(claim) for claim in self.claims], dtype=object)
        return table.fillna("")


def read_summary(path: str | os.PathLike) -> dict | None:
    """The summary.json that a report wrote; None if there is none, or it is another's file."""
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fields = {field.name for field in dataclasses.fields(Claim)}
    match summary:
        case {"notebook": str(), "answer": str(), "values": dict(), "claims": list(claims)} if all(
            isinstance(claim, dict) and fields <= claim.keys() for claim in claims
        ):
            return summary
    return None


def _listed_files(path):
    """Names of the files that the report whose summary stands at `path` wrote beside it."""
    files = (read_summary(path) or {}).get("files")
    names = files if isinstance(files, list) else []
    return {name for name in names if isinstance(name, str) and _is_plain(name)} - {SUMMARY}


def _is_plain(name):
    """Whether a name is one of a file in the folder itself, not of one elsewhere."""
    return name == Path(name).name and Path(name).suffix in (".csv", ".png", ".svg", ".pdf")


def _show_dollars(figure):
    """Keep Matplotlib from reading "$" in a label as TeX, its own exponents apart."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels(which="both")  # sets the texts of ticks, which findobj then finds
    for text in figure.findobj(Text):
        if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)


def _rasterise_many_points(figure):
    for points in figure.findobj(PathCollection):
        points.set_rasterized(points.get_rasterized() or len(points.get_offsets()) > MANY_POINTS)
    for line in figure.findobj(Line2D):
        line.set_rasterized(line.get_rasterized() or len(line.get_xdata()) > MANY_POINTS)


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

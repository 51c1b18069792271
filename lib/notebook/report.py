"""What a notebook leaves behind: tables, figures, claims and summary.json.

A claim is a sentence with a number that this run computed, its interval, which re-draw that
interval covers, and where it can be held against something the published value. Its verdict is
computed, too:

  reproduces        what ours and the published value differ by is explained by the errors of both,
                    and they leave no room for a difference beyond the margin
  holds             no published value; what the sentence asserts is true of this run
  no difference     a difference was claimed, and its interval lies within the margin: a finding,
                    unlike one that nothing here could decide
  does not hold     the contrary: a result like any other, and said
  cannot be tested  nothing here could decide it, the interval is wider than the margin, or the
                    run found no finite number

What is true by construction is no claim; `Report.check` holds it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import numbers
import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.infra.files import replacing, write_json
from lib.infra.locks import hold, release
from lib.notebook import markdown, plots, staging

VERDICTS = ("reproduces", "holds", "no difference", "does not hold", "cannot be tested")
# What would have to be drawn again for an interval to say how far the number moves.
THIS_SYSTEM = "this system measured again"
LIKE_SYSTEM = "another system like it"
THIS_MACHINE = "this machine measured again"
COVERS = (THIS_SYSTEM, LIKE_SYSTEM, THIS_MACHINE)
SUMMARY = "summary.json"
SUSPICIONS: dict[str, list[str]] = {}  # notebook -> what looked wrong in what it was given
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
    """One row of the claims table; see the module and `Report.claim`."""

    name: str
    value: float | None
    interval: list | None
    published: float | None
    source: str
    verdict: str
    published_interval: list | None = None
    margin: float | None = None
    covers: str | None = None  # of COVERS: which re-draw the interval is for


class Report:
    """Collects the results of one notebook in the folder `output`.

    Tables and figures stand in a folder .NOTEBOOK.unfinished below it until the notebook is
    done: a run that stops half-way leaves the earlier results whole. `write` puts all of them in
    place, or where `lib.run` runs the notebook, that does so after the last cell. Until then no
    other process can report into the folder.

    Args:
      notebook: its name, such as "02_bnsl_fitting".
      output: folder of tables, figures and summary.json.
      pdf: whether figures are also written as PDF, beside PNG and SVG.

    Raises: ValueError for a folder with another notebook's results, or with a summary.json that is
      none; InUseError (`lib.infra.locks`) where another process is at work in it.

    >>> import tempfile
    >>> report = Report("02_bnsl_fitting", tempfile.mkdtemp())
    >>> report.claim("R/R* grows with FLOPs", 0.03, holds=True, source="this run").verdict
    'holds'
    """

    def __init__(self, notebook: str, output: str | os.PathLike, pdf: bool = False) -> None:
        self.notebook, self.output, self.pdf = notebook, Path(output), pdf
        self.answer, self.values, self.claims = "", {}, []
        self._files: list[str] = []
        self._unfinished = staging.unfinished_folder(self.output, notebook)
        _check_owner(self.output, notebook)
        self.output.mkdir(parents=True, exist_ok=True)
        if staging.left_to_the_runner(self.output):  # which holds the lock
            staging.follow_the_runner(self.output, notebook)
        else:
            hold(self.output / staging.LOCK, f"{notebook}: {self.output}")
        staging.go_on(self.output, notebook)
        staging.discard(self.output, notebook)

    def table(self, name: str, frame: Any) -> pd.DataFrame:
        """Write a table as CSV (lists as JSON text) and return it."""
        frame = pd.DataFrame(frame)
        with self._file(f"{name}.csv") as path:
            frame.map(_as_json).to_csv(path, index=False)
        return frame

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure as PNG and SVG, and as PDF if asked for; a notebook's cell shows it.

        The same figure gives the same files. A "$" in a label is shown as it stands.
        """
        plots.as_written(figure)
        _rasterise_many_points(figure)
        for kind in ("png", "svg", "pdf")[: 2 + self.pdf]:
            with (
                self._file(f"{name}.{kind}") as path,
                mpl.rc_context({"svg.hashsalt": "lib", "pdf.fonttype": 42}),
            ):
                figure.savefig(path, dpi=PNG_DPI, metadata=NO_METADATA[kind])

    def arrays(self, name: str, **arrays: Any) -> None:
        """Write arrays as NPZ, for programs that go on from here."""
        with self._file(f"{name}.npz") as path, open(path, "wb") as file:
            np.savez_compressed(file, **arrays)

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
        display(Markdown(f"{ANSWER}{markdown.as_text(answer)}"))

    def claim(
        self,
        name: str,
        value: float | None = None,
        *,
        interval: Any = None,
        published: float | None = None,
        published_interval: Any = None,
        margin: float | None = None,
        holds: bool | None = None,
        covers: str | None = None,
        source: str,
    ) -> Claim:
        """Add a claim; its verdict follows from the numbers.

        Args:
          name: the sentence that is claimed.
          value, interval: what this run found, and (low, high); without an interval the value
            counts as exact.
          published, published_interval: the value to hold it against, and its own sampling error;
            without an interval it counts as exact.
          margin: the largest difference from the published value that would not matter. A value
            whose errors allow for more reproduces nothing.
          holds: for a claim without a published value, whether it is true; None where
            nothing here could decide it.
          covers: which re-draw the interval is for, one of COVERS.
          source: the paper's place, or how the number came about.

        Raises: ValueError for a published value without a value and a margin, for both published
          and holds, an interval without covers, or covers that is none of COVERS.
        """
        interval, published_interval = map(_pair, (interval, published_interval))
        if published is None:
            verdict = "cannot be tested" if holds is None else "holds" if holds else "does not hold"
        elif holds is not None:
            raise ValueError(f"claim {name!r}: give published or holds, not both")
        elif value is None or margin is None:
            raise ValueError(
                f"claim {name!r}: to be held against a published value it needs a value and the "
                f"margin that would not matter; got value {value} and margin {margin}"
            )
        else:
            verdict = _reproduces(value, interval, published, published_interval, margin)
        return self._add(
            name, value, interval, published, published_interval, margin, covers, source, verdict
        )

    def difference(
        self,
        name: str,
        value: float,
        interval: Any,
        *,
        margin: float | None = None,
        published: float | None = None,
        covers: str,
        source: str,
    ) -> Claim:
        """Add the claim that a difference is above 0; its verdict follows from the interval.

        Within the margin on both sides of 0 it is "no difference" (two one-sided tests), else
        "holds" above 0, "does not hold" below, and "cannot be tested" where it holds 0.

        Args:
          name, covers, source: as for `claim`; a published difference that lies outside the
            interval is called excluded in the source.
          value, interval: the difference and (low, high).
          margin: the largest difference that would not matter; None: every one does.
          published: the difference to stand beside it.

        >>> import tempfile
        >>> report = Report("01_metric_validation", tempfile.mkdtemp())
        >>> report.difference("a is better than b", 0.001, (-0.017, 0.017), margin=0.02,
        ...                   covers=THIS_SYSTEM, source="made up").verdict
        'no difference'
        """
        low, high = interval = _pair(interval)
        if not np.isfinite([value, low, high]).all():
            verdict = "cannot be tested"
        elif margin is not None and -margin <= low and high <= margin:
            verdict = "no difference"
        else:
            verdict = "holds" if low > 0 else "does not hold" if high < 0 else "cannot be tested"
        if published is not None and not low <= published <= high:
            source = f"{source}; excludes the published {published:g}"
        return self._add(name, value, interval, published, None, margin, covers, source, verdict)

    def _add(
        self, name, value, interval, published, published_interval, margin, covers, source, verdict
    ):
        if interval is not None and covers not in COVERS:
            raise ValueError(
                f"claim {name!r}: covers must say what its interval covers, one of "
                f"{', '.join(map(repr, COVERS))}; got {covers!r}"
            )
        numbers_of_claim = map(_plain, (published_interval, margin))
        claim = Claim(
            name,
            _plain(value),
            _plain(interval),
            _plain(published),
            source,
            verdict,
            *numbers_of_claim,
            covers,
        )
        # A cell that is run twice claims the same once.
        self.claims = [*(earlier for earlier in self.claims if earlier.name != name), claim]
        return claim

    def check(self, name: str, passed: bool) -> None:
        """Hold what must be true whatever the data say, such as a proof or equal results.

        Raises: AssertionError, naming it, where it is not.
        """
        if not passed:
            raise AssertionError(f"{self.notebook}: it is not so: {name}")

    def write(self) -> pd.DataFrame:
        """Write summary.json and put all in place, see `Report`; returns the claims as a table.

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
        if SUSPICIONS.get(self.notebook):
            summary["suspicions"] = SUSPICIONS[self.notebook]
        write_json(self._unfinished / SUMMARY, summary)  # fails, if it does, before a file moves
        if not staging.left_to_the_runner(self.output):
            put_in_place(self.output, self.notebook)
            release(self.output / staging.LOCK)
        names = [field.name for field in dataclasses.fields(Claim)]
        rows = [dataclasses.asdict(claim) for claim in self.claims]
        table = pd.DataFrame(rows, columns=names, dtype=object)
        return table.fillna("")


def put_in_place(output: Path, notebook: str, **elsewhere: Any) -> None:
    """Let the results that a report wrote count; without effect where it wrote no summary.json.

    Args:
      elsewhere: as of `lib.notebook.staging.put_in_place`.
    """
    summary = staging.unfinished_folder(output, notebook) / SUMMARY
    if summary.exists():
        obsolete = _listed_files(output / SUMMARY) - _listed_files(summary)
        staging.put_in_place(output, notebook, last=SUMMARY, obsolete=obsolete, **elsewhere)


def read_summary(path: str | os.PathLike) -> dict | None:
    """The summary.json that a report wrote; None if there is none, or it is another's file."""
    try:
        summary = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    # Those with a default are newer than some summaries.
    fields = {
        field.name for field in dataclasses.fields(Claim) if field.default is dataclasses.MISSING
    }
    match summary:
        case {"notebook": str(), "answer": str(), "values": dict(), "claims": list(claims)} if all(
            isinstance(claim, dict) and fields <= claim.keys() for claim in claims
        ):
            return summary
    return None


def _check_owner(output, notebook):
    """Refuse a folder in which the results of something else lie."""
    if (output / SUMMARY).exists():
        summary = read_summary(output / SUMMARY)
        if summary is None or summary["notebook"] != notebook:
            lies = f"results of {summary['notebook']}" if summary else f"a {SUMMARY} of no notebook"
            raise ValueError(
                f"{notebook}: the folder {str(output)!r} holds {lies}, which this notebook would "
                "replace; expected a folder of its own"
            )


def _listed_files(path):
    """Names of the files that the report whose summary stands at `path` wrote beside it."""
    files = (read_summary(path) or {}).get("files")
    names = files if isinstance(files, list) else []
    return {name for name in names if isinstance(name, str) and _is_plain(name)} - {SUMMARY}


def _is_plain(name):
    """Whether a name is one of a file in the folder itself, not of one elsewhere."""
    return name == Path(name).name and Path(name).suffix in (
        *(".csv", ".png", ".svg", ".pdf", ".npz"),
    )


def _rasterise_many_points(figure):
    for points in figure.findobj(PathCollection):
        points.set_rasterized(points.get_rasterized() or len(points.get_offsets()) > MANY_POINTS)
    for line in figure.findobj(Line2D):
        line.set_rasterized(line.get_rasterized() or len(line.get_xdata()) > MANY_POINTS)


def _pair(interval):
    return None if interval is None else tuple(interval)


def _reproduces(value, interval, published, published_interval, margin):
    """The verdict of a value beside a published one, both with their errors.

    The interval of their difference takes the distances of the bounds from the two values as
    independent errors, so that they add in squares (MOVER; Zou 2007, Psychological Methods 12).
    """
    low, high = interval or (value, value)
    published_low, published_high = published_interval or (published, published)
    if not np.isfinite([value, low, high, published, published_low, published_high]).all():
        return "cannot be tested"
    difference = value - published
    least = difference - np.hypot(value - low, published_high - published)
    most = difference + np.hypot(high - value, published - published_low)
    if -margin <= least and most <= margin:
        return "reproduces"  # whatever the difference, it does not matter
    if not least <= 0 <= most:
        return "does not hold"
    return "reproduces" if (most - least) / 2 <= margin else "cannot be tested"


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

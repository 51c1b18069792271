"""The receipt: whether a run's tables are the committed ones, to the last digit.

receipt.json among a profile's results, under version control, holds a digest of every table of
the profile, of each of its columns, and the first rows rounded, so that a fresh clone can say how
far its own tables are from those even once it has replaced them.
"""

import ast
import csv
import hashlib
import json
from pathlib import Path

import nbformat

from lib.infra.arithmetic import as_committed
from lib.infra.files import write_json
from lib.notebook.report import SUMMARY, read_summary
from lib.run import places
from lib.run.plan import Job

# What hangs on a clock, so that no two runs agree: columns of any table; and of a notebook's
# tables some columns, or all. Costs are measured, and so is what is computed from them.
CLOCK_COLUMNS = {"impressions_per_second", "samples_per_second", "share_of_peak"}
ALL = None
CLOCK_TABLES = {
    "03_cost_simulation": {
        "chosen": ALL,
        "cost_steps": ALL,
        "costs": ALL,
        "own_model": ALL,
        "paper_sizes": ALL,
        "scans": ALL,
        "search": ALL,
        "timings": ALL,
        "training_costs": ALL,
    },
    "04_roi_design": {
        "choices": ALL,
        "decision": ALL,
        "frontier": ALL,
        "next_measurements": ALL,
        "paper_case": ALL,
        "picks": ALL,
        "sizes": {"machine_cost_per_hour", "share_best"},
        "test_plan": ALL,  # of the lift that the costs let it choose
    },
    "05_allocation": {
        "adding_up": ALL,  # of the models that the costs let it choose
        "frontier": ALL,
        "matching_sizes": {"machine_cost_per_hour"},
    },
}
ROWS, DIGITS = 30, 5  # that a receipt holds of a table's values
EXPECTED = (
    "this processor's TensorFlow rounds otherwise than that of the committed tables "
    "(lib.infra.arithmetic), so that trainings differ; within their intervals, conclusions hold"
)


def write_receipt(jobs: list[Job]) -> Path:
    """Make the tables of the jobs' last runs the committed ones; returns the receipt's path.

    Raises ValueError for a notebook whose last run had other parameters than the profile's.
    """
    for job in jobs:
        if changed := _changed_parameters(job):
            raise ValueError(
                f"{job.stem}: expected a run with the parameters of {_parameters(job.profile)}; "
                f"the last one had another {', '.join(changed)}"
            )
    tables = {
        f"{job.stem}/{name}": described(job.stem, path)
        for job in jobs
        for name, path in _tables(job).items()
        if not _is_clock(job.stem, name)
    }
    path = places.receipt_of(jobs[0].profile)
    write_json(path, {"tables": tables})
    return path


def compare(jobs: list[Job]) -> tuple[bool, list[str]]:
    """Hold the tables of the jobs' last runs against the committed receipt.

    Args:
      jobs: of one profile, as `plan` gives them without overrides.

    Returns: (whether all that could be compared is equal, sentences for the reader).
    """
    path = places.receipt_of(jobs[0].profile)
    if not path.exists():
        return True, [f"{places.shown(path)} is not there: nothing to compare the tables with"]
    committed = _read_receipt(path)
    if committed is None:
        return False, [
            f"{places.shown(path)} is damaged: expected the tables of a profile; git checkout "
            "brings it back, and receipt --accept makes it anew"
        ]
    equal, clocks, damaged, lines = 0, 0, False, []
    for job in jobs:
        try:
            changed = _changed_parameters(job)
        except ValueError as error:
            damaged = True
            lines.append(f"{error}; its tables cannot be compared")
            continue
        if changed:
            lines.append(
                f"{job.stem} ran with another {', '.join(changed)} than the profile "
                f"{job.profile}: its tables cannot be compared"
            )
            continue
        found = _tables(job)
        names = [key.split("/")[1] for key in committed if key.startswith(f"{job.stem}/")]
        for name in {**found, **dict.fromkeys(names)}:
            key = f"{job.stem}/{name}"
            if _is_clock(job.stem, name):
                clocks += 1
            elif name not in found or key not in committed:
                where = "is not among the committed ones" if name in found else "was not written"
                lines.append(f"{key} {where}")
            elif difference := _difference_of_file(committed[key], job.stem, found[name]):
                lines.append(f"{key} differs from the committed one: {difference}")
            else:
                equal += 1
    differ = sum("/" in line.split()[0] for line in lines)
    of_clocks = f"; {clocks} hang on a clock and are not compared" if clocks else ""
    first = f"{equal} of {equal + differ} tables equal the committed ones{of_clocks}"
    lines = [first, *lines]
    if differ and not as_committed():
        lines.append(EXPECTED)
    return not (differ or damaged), lines


def described(stem: str, path: Path) -> dict:
    """Digests and the first rows of a table, columns that hang on a clock left out.

    Returns: {"rows": number, "sha256": of all of it, "columns": {name: {"sha256": of its texts,
      "values": [up to `ROWS`], numbers with `DIGITS` digits}}}.
    Raises: ValueError, naming the file, for one that is no whole table.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        texts_of = [(name, texts) for name, *texts in zip(head, *rows, strict=True)]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{places.shown(path)} is no whole table ({reason})") from None
    clocks = CLOCK_COLUMNS | (CLOCK_TABLES.get(stem, {}).get(path.stem) or set())
    columns = {
        name: {"sha256": _digest(texts), "values": [_rounded(text) for text in texts[:ROWS]]}
        for name, texts in texts_of
        if name not in clocks
    }
    digest = _digest([name + column["sha256"] for name, column in columns.items()])
    return {"rows": len(rows), "sha256": digest, "columns": columns}


def _read_receipt(path):
    """{table: what `described` says} of a receipt; None of a damaged one."""
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        known = [(table["rows"], table["sha256"], table["columns"]) for table in tables.values()]
        whole = all(
            {"sha256", "values"} <= column.keys()
            for *_, columns in known
            for column in columns.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return tables if whole else None


def _difference_of_file(committed, stem, path):
    """`_difference` from a table's file."""
    try:
        return _difference(committed, described(stem, path))
    except ValueError as error:
        return str(error)


def _difference(committed, found):
    """What differs first between two of `described`, in words; "" where nothing does."""
    if committed["sha256"] == found["sha256"]:
        return ""
    theirs, ours = committed["columns"], found["columns"]
    if list(theirs) != list(ours):
        return f"columns {', '.join(ours)} instead of {', '.join(theirs)}"
    if committed["rows"] != found["rows"]:
        return f"{found['rows']} rows instead of {committed['rows']}"
    differing = [name for name in ours if ours[name]["sha256"] != theirs[name]["sha256"]]
    pairs = {
        (row, name): (ours[name]["values"][row], theirs[name]["values"][row])
        for row in range(min(ROWS, found["rows"]))
        for name in differing
    }
    for (row, name), (here, there) in pairs.items():
        if here != there:
            return f"row {row}, {name}: {here} instead of {there}{_by_how_much(here, there)}"
    later = f", in digits after the first {DIGITS}"
    later += f" or in rows after the first {ROWS}" if found["rows"] > ROWS else ""
    return f"column {differing[0]}{later}"


def _by_how_much(here, there):
    """Of two texts that are numbers, the relative difference in words.

    >>> _by_how_much("1.1", "1"), _by_how_much("0.5", "0"), _by_how_much("a", "b")
    (' (10 %)', '', '')
    """
    try:
        here, there = float(here), float(there)
    except ValueError:
        return ""
    return f" ({100 * abs(here / there - 1):.2g} %)" if there else ""


def _rounded(text):
    """A cell's text; with few digits where it is a number with more.

    >>> _rounded("0.123456789"), _rounded("80000"), _rounded("[8, 4]")
    ('0.12346', '80000', '[8, 4]')
    """
    try:
        return f"{float(text):.{DIGITS}g}" if set(text) & set(".en") else text
    except ValueError:
        return text


def _digest(texts):
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _is_clock(stem, name):
    return CLOCK_TABLES.get(stem, {}).get(name, {}) is ALL


def _tables(job):
    """{name: path} of the tables that the last run of a job wrote."""
    files = (read_summary(job.output / SUMMARY) or {}).get("files")
    names = [str(file) for file in files] if isinstance(files, list) else []
    return {Path(name).stem: job.output / name for name in names if name.endswith(".csv")}


def _changed_parameters(job):
    """Names of the parameters that the job's executed notebook had otherwise; [] if it is none."""
    if not job.executed.exists():
        return []
    given = {}
    try:
        for cell in nbformat.read(job.executed, as_version=4).cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                for line in ast.parse(cell.source).body:
                    given[line.targets[0].id] = ast.literal_eval(line.value)
    except (
        *(ValueError, SyntaxError, LookupError, AttributeError, RecursionError),
        nbformat.ValidationError,
    ):
        raise ValueError(
            f"{job.stem}: {places.shown(job.executed)} is damaged; expected an executed notebook"
        ) from None
    missing = object()
    return [
        name
        for name in {**job.given, **given}
        if given.get(name, missing) != job.given.get(name, missing)
    ]


def _parameters(profile):
    """Where its parameters stand, as messages show it."""
    return places.shown(places.parameters_of(profile))

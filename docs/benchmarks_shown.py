"""What `make bench` measured, outputs/bench/NAME.json, as a Markdown table."""

import json
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "outputs" / "bench"
MET = {True: "met", False: "**missed**", None: ""}


def markdown_table(name, folder=BENCH):
    """The rows of one benchmark, and on which machine they were measured."""
    found = json.loads((Path(folder) / f"{name}.json").read_text())
    lines = [
        "| figure | ours | unit | beside | target | |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(_line, found["rows"]),
    ]
    machine = found["machine"]
    parts = [machine.get("cpu") or machine["device"]]
    parts += [f"{machine['cores']} cores"] if "cores" in machine else []
    return "\n".join([*lines, "", f"*Measured on: {', '.join(parts)}.*"])


def _line(row):
    ours = number(row["ours"])
    if row["low"] is not None and row["high"] is not None:
        ours += f" ({number(row['low'])} to {number(row['high'])})"
    beside = "" if row["baseline"] is None else f"{number(row['baseline'])} {row['baseline_name']}"
    target = "" if row["target"] is None else f"{SIGN[row['better']]} {number(row['target'])}"
    cells = (row["figure"], ours, row["unit"], beside, target, MET[row["met"]])
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


SIGN = {"lower": "at most", "higher": "at least"}


def number(value):
    """Three digits, without powers of ten where a reader can do without.

    >>> number(17935.045), number(0.000123), number(0.9760), number(2e-7)
    ('17,900', '0.000123', '0.976', '2e-07')
    """
    if value is None:
        return "none"
    if abs(value) < 1000:
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):,.0f}"

"""The text of a new profile's YAML files: what to set first, then everything else, explained.

A table's explanation is that of `lib.run.decide.question`, any other parameter's the comment in
the notebook that takes it (`unsaid.explained`); a value that the reader need not set is the
notebook's own.
"""

from typing import Any

import yaml

from lib.run import places
from lib.run.decide.question import REQUIRED, TABLES
from lib.run.new.unsaid import explained
from lib.run.parameters import check_parameters, declared
from lib.run.plan import read_notebook

MEASURED, TESTED, LOADS = (f"tables/{name}.csv" for name in ("measurements", "ab_tests", "costs"))
BASE = [3328, 1024, 256, 256, 256, 1]
REQUEST = {"candidates": 100, "latency_limit_ms": 100.0}
SYSTEM = {"machines_base": 100.0, "price_per_hour": 2.5, "revenue_per_hour": 40000.0}

# By notebook: the parameters that a reader with tables sets.
GIVEN = {
    "01_metric_validation": {"measurements": MEASURED, "ab_tests": TESTED},
    "02_bnsl_fitting": {"measurements": MEASURED, "metric": "r_over_r_star"},
    "03_cost_simulation": {
        "costs": LOADS,
        "base": BASE,
        **REQUEST,
        **SYSTEM,
        "machines_base": 100,
        "paper_sizes": [[6528, 1024, 512, 512, 512, 1]],
    },
    "04_roi_design": {
        "trainings": "",
        "measurements": MEASURED,
        "models": MEASURED,
        "ab_tests": TESTED,
        "costs": LOADS,
        "base_model": "base",
        "base": BASE,
        **REQUEST,
        **SYSTEM,
        "roi_min": 1.0,
    },
    "05_allocation": {"scenarios": "tables/scenarios.csv", "budget": 75.0, "roi_min": 1.0},
}
OF_LOGS = {"00_logs": {"logs": "logs/log.parquet", "features": "logs/features.yaml"}}
QUESTION = {
    "measurements": MEASURED,
    "ab_tests": TESTED,
    "costs": LOADS,
    "base_model": "base",
    "base": BASE,
    **SYSTEM,
    **REQUEST,
}
REST = "# Everything else, as it is if left out. To set one, take away the # before its name."


def notebook_file(stem: str, given: dict[str, Any]) -> str:
    """The parameter file of a notebook: what is given, then its other parameters commented out.

    Raises: ValueError or TypeError where the notebook does not take what is given.
    """
    path = places.REPOSITORY / "notebooks" / f"{stem}.ipynb"
    notebook = read_notebook(path)
    defaults = declared(notebook, source=stem)
    check_parameters(given, defaults, source=stem)
    said = explained(notebook, stem)
    texts = {name: TABLES.get(name, text) for name, (_, text) in said.items()}
    title = notebook.cells[0].source.split("\n")[0].lstrip("# ")
    lines = [f"# {title} (notebooks/{stem}.ipynb)", "# Paths start at this file's folder.", ""]
    lines += [_line(name, value, texts[name]) for name, value in given.items()]
    lines += ["", REST]
    headed = ""
    for name, (heading, _) in said.items():
        if name in given or name == "output":
            continue
        if heading != headed:
            lines += ["#", f"# ---- {heading}"]
            headed = heading
        lines.append(f"# {_line(name, defaults[name], texts[name])}")
    return "\n".join(lines) + "\n"


def question_file() -> str:
    """The question of `python -m lib decide`: its ten required lines, explained."""
    lines = [
        "# Which size to deploy: python -m lib decide question.yaml. Paths start at this folder.",
        "# Any parameter of 04_roi_design.yaml may be set here as well, such as roi_min.",
        "",
    ]
    lines += [_line(name, value, REQUIRED[name]) for name, value in QUESTION.items()]
    return "\n".join(lines) + "\n"


def _line(name, value, text):
    """A parameter's line of YAML, its explanation behind it.

    >>> _line("base", [8, 1], "of all"), _line("logs", "", "yours"), _line("peak", 1e10, "a second")
    ('base: [8, 1]  # of all', "logs: ''  # yours", 'peak: 10000000000.0  # a second')
    """
    flow = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), sort_keys=False)
    return f"{name}: {flow.strip()[1:-1]}  # {text}"

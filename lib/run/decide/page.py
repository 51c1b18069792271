"""The page: one HTML file that needs nothing from elsewhere, and is the same for the same input."""

import base64
import dataclasses
import importlib.metadata
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from lib.design.decision import Decision
from lib.design.size_economics import SizeEconomics
from lib.design.size_grids import Sizes
from lib.notebook.report import SUMMARY, read_summary
from lib.run.decide.draws import Draws, kept_sizes, read_draws
from lib.run.decide.question import ALLOCATION, DESIGN, FILES, LAW, Question
from lib.run.plan import Job

STEPS = 20  # of the sliders of prices, each way a factor of 3
MOST_PRICE = 3.0
MOST_BOUND = 4.0  # times the reader's own bound
CONFIDENCES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
NEAREST = 40  # sizes of least regret that are kept beside those that may be chosen
TITLES = {
    LAW: "How the metric grows with the size of the model (notebook 02)",
    DESIGN: "What sizes earn and cost (notebook 04)",
    ALLOCATION: "One budget over several scenarios (notebook 05)",
}
CAPTIONS = {  # of the figures that the page shows, in this order
    "scaling_law": "Left: the law and the trained sizes; diamonds are sizes that it did not see "
    "when it was fitted. Right: what is left to the asymptote of the law of all sizes.",
    "law_diagnosis": "Left: would laws of the first sizes have predicted the next ones? Right: "
    "where the asymptote may lie.",
    "sizes": "Every size of the grid: what it earns over what it costs, both relative to today's.",
    "decision": "Left: what choosing a size would lose on average if another were the better one. "
    "Right: what the choice earns if the machines must return more or less.",
    "choices": "Left: what a wider input costs, part by part. Right: the choice as each cost comes "
    "in.",
    "allocation": "What the scenarios earn together under other budgets.",
}
MOST_SCENARIOS = 20  # that the page lists
MOST_OF_A_KIND = 3  # measurements that the page lists
TEXTS = ("measure", "most likely to")  # columns of that list
# Parameters of notebook 04 that bring costs beside serving.
FURTHER_COSTS = {
    "training_machines_base": "of training",
    "ads": "of the Embedding Producer",
    "embedding_rows": "of embedding tables",
}
PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "papermill")


def write_page(question: Question, jobs: Sequence[Job]) -> str:
    """The page of a question whose notebooks have run, HTML.

    Raises: `lib.logs.errors.InputError` where notebook 04 left no draws.
    """
    outputs = {job.stem: job.output for job in jobs}
    draws = read_draws(outputs[DESIGN] / "draws.npz")
    given = question
    if draws.revenue_per_hour:  # which growth over the horizon may have changed
        values = question.values | {"revenue_per_hour": draws.revenue_per_hour}
        question = dataclasses.replace(question, values=values)
    sliders = page_sliders(question)
    kept = sizes_of_page(draws, question, sliders)
    summaries = {stem: read_summary(folder / SUMMARY) for stem, folder in outputs.items()}
    return _template().render(
        style=_part("page.css"),
        script=_part("page.js"),
        report=report_of_page(draws.take(kept), question, sliders),
        sliders=sliders,
        draws=f"{len(draws.lift_draws):,}",
        kept_sentence=_kept_sentence(len(kept), len(draws.flops)),
        answer=_plain(summaries[DESIGN]["answer"]),
        measurements=_next_measurements(
            outputs[DESIGN] / "next_measurements.csv",
            question.values["currency"],
            question.values.get("decision_hours"),
        ),
        notebooks=[_notebook(stem, outputs[stem], summaries[stem]) for stem in outputs],
        assumptions=_assumptions(given, draws),
        claims=[
            _claim(claim)
            for one in summaries.values()
            for claim in one["claims"]
            if claim["published"] is None  # the others ask after the paper's numbers
        ],
        tables=[
            {"name": name, "file": file, "digest": digest}
            for name, (file, digest) in question.digests.items()
        ],
        left_out=question.left_out,
        parameters=_parameters(given, jobs),
        versions=_versions(),
    )


# ---- what the page computes with ------------------------------------------------


def page_sliders(question: Question) -> list[dict[str, Any]]:
    """Name, label, values and start of each slider; the reader's own value is among the values."""
    values = question.values
    bounds = np.linspace(0, MOST_BOUND * max(values["roi_min"], 1.0), 41)
    price = "Price of a machine"
    if any(values.get(name) for name in FURTHER_COSTS):
        price = "Price of a machine, all other costs in proportion"
    factors = MOST_PRICE ** np.linspace(-1, 1, 2 * STEPS + 1)
    return [
        _slider("roi_min", "Least return λ, revenue / cost of the machines", bounds, values),
        _slider("price_per_hour", price, factors * values["price_per_hour"], values),
        _slider(
            "revenue_per_hour",
            "Revenue of the system",
            factors * values["revenue_per_hour"],
            values,
        ),
        _slider("confidence", "Confidence that the bound holds", CONFIDENCES, values),
    ]


def _slider(name, label, others, values):
    own = float(values[name])
    among = sorted({own, *(float(f"{value:.3g}") for value in others)})
    return {"name": name, "label": label, "values": among, "start": among.index(own)}


def sizes_of_page(draws: Draws, question: Question, sliders: Sequence[dict]) -> np.ndarray:
    """Indices of the sizes that the page holds: all that it may choose, and the next best."""
    bounds, prices, revenues, confidences = (slider["values"] for slider in sliders)
    relative = 1 / question.values["price_per_hour"]  # costs are at the reader's own price
    slopes = tuple(
        pick(bounds) * relative * pick(prices) / unpick(revenues)
        for pick, unpick in ((min, max), (max, min))
    )
    may_be_chosen = kept_sizes(draws, slopes, confidences, question.values["roi"])
    regret = decision(draws, question).regret
    return np.union1d(may_be_chosen, np.argsort(regret, kind="stable")[:NEAREST])


def decision(draws: Draws, question: Question, **changes: float) -> Decision:
    """What `lib.design` says of the draws, at the reader's bound and prices or changed ones.

    Args:
      changes: roi_min, price_per_hour, revenue_per_hour or confidence in place of the reader's.
    """
    values = question.values | changes
    factor = values["price_per_hour"] / question.values["price_per_hour"]
    economics = SizeEconomics(
        sizes=Sizes(draws.size_parameters, draws.flops),
        base=draws.base,
        lift=draws.lift.astype(float),
        lift_draws=draws.lift_draws.astype(float),
        machine_cost=draws.machine_cost.astype(float) * factor,
        machine_cost_draws=draws.machine_cost_draws.astype(float) * factor,
        revenue_per_hour=values["revenue_per_hour"],
        roi=values["roi"],
        roi_min=values["roi_min"],
        interval=values["interval"],
    )
    return Decision(
        economics,
        confidence=values["confidence"],
        **{name: values[name] for name in ("tolerance", "near_share")},
    )


def report_of_page(draws: Draws, question: Question, sliders: Sequence[dict]) -> dict[str, Any]:
    """What page.js reads, as JSON takes it; draws as base64 of little-endian float32."""
    names = ("roi", "interval", "tolerance", "near_share", "currency", "price_per_hour")
    return {name: question.values[name] for name in names} | {
        "largest": question.largest,
        "base": draws.base,
        "sizes": draws.size_parameters.tolist(),
        "flops": draws.flops.astype(float).tolist(),
        "sliders": [{name: slider[name] for name in ("name", "values")} for slider in sliders],
        "lift_draws": _base64(draws.lift_draws),
        "machine_cost_draws": _base64(draws.machine_cost_draws),
    }


def _base64(values):
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


# ---- what the page tells -----------------------------------------------------------


def _template():
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html")


def _part(name):
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _plain(markdown):
    """A notebook's answer without Markdown's signs.

    >>> _plain("From 792 FLOPs **R/R\\\\*** goes up")
    'From 792 FLOPs R/R* goes up'
    """
    return re.sub(r"\\(.)|\*\*", lambda found: found.group(1) or "", markdown)


def _kept_sentence(kept, sizes):
    if kept == sizes:
        return f"The page holds all {sizes:,} sizes."
    return (
        f"The page holds {kept:,} of the {sizes:,} sizes. The others are never the best one of a "
        "draw nor the choice, wherever the sliders stand; that was computed before they were left "
        "out."
    )


def _notebook(stem, folder, summary):
    return {
        "title": TITLES.get(stem, stem),
        "answer": _plain(summary["answer"]),
        "figures": [
            {
                "caption": caption,
                "data": base64.b64encode((folder / f"{name}.svg").read_bytes()).decode(),
            }
            for name, caption in CAPTIONS.items()
            if f"{name}.svg" in summary.get("files", [])
        ],
        "chosen": _chosen(folder / "chosen.csv") if stem == ALLOCATION else None,
    }


def _chosen(path):
    """The sizes that notebook 05 chose, a row a scenario; what is not listed is counted."""
    # A scenario called NA keeps its name.
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    table = table.dropna(axis="columns", how="all")
    for name in table.select_dtypes("bool"):
        table[name] = table[name].map({True: "yes", False: "no"})
    rows = table.head(MOST_SCENARIOS)
    return {
        "heads": [
            {"name": name.replace("_", " "), "text": not pd.api.types.is_numeric_dtype(rows[name])}
            for name in rows
        ],
        "rows": rows.map(lambda x: f"{x:,.6g}" if isinstance(x, float) else x).values.tolist(),
        "more": len(table) - len(rows),
    }


def _claim(claim):
    def number(value):
        return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"

    interval = claim["interval"] or [None]
    return {
        "name": _plain(claim["name"]),
        "value": "" if claim["value"] is None else number(claim["value"]),
        "interval": "" if None in interval else " to ".join(map(number, interval)),
        "covers": claim.get("covers") or "",
        "verdict": claim["verdict"],
    }


def _next_measurements(path, currency, hours):
    """The ranked measurements of notebook 04 as a manager reads them; None where there are none."""
    if not path.is_file():
        return None
    ranked = pd.read_csv(path)
    if ranked.empty:
        return None
    table = ranked.groupby("kind", sort=False).head(MOST_OF_A_KIND)
    unit = f" {currency}" if currency else ""
    shares = table[["of_perfect", "change"]].map("{:.0%}".format)
    sums = table[["per_hour", "worth", "price", "net"]].map("{:,.4g}".format)
    columns = {
        "measure": table["kind"] + " of " + table["size_parameters"],
        f"worth{unit} an hour": sums["per_hour"],
        "of perfect knowledge": shares["of_perfect"],
        f"worth{unit} in all": sums["worth"],
        f"costs{unit}": sums["price"],
        f"worth less cost{unit}": sums["net"],
        "changes the choice in": shares["change"],
        "most likely to": table["then"],
    }
    return {
        "heads": [{"name": name, "text": name in TEXTS} for name in columns],
        "rows": pd.DataFrame(columns).values.tolist(),
        "more": len(ranked) - len(table),
        "hours": f"{hours:,g}" if hours else "",
    }


def _assumptions(question, draws):
    values = question.values
    currency = f" {values['currency']}" if values["currency"] else ""
    kind = (
        "what a size earns beyond today's over what it costs beyond today's"
        if values["roi"] == "incremental"
        else "all that the system earns over all that its machines cost"
    )
    sentences = [
        "Nothing was simulated here: what was measured comes from your own tables, named below "
        "with their digests.",
        f"Lifts: a scaling law of {question.trained} trainings says what {values['metric']} a size "
        f"reaches, and {question.tested} tested models say what that is worth in revenue. The law "
        f"saw sizes of up to {question.largest:.3g} times the FLOPs of today's; beyond it is "
        "extrapolated.",
        f"Costs: {question.load_tested} load-tested sizes; the time of a request of all others is "
        "predicted from them.",
        f"Assumed by you: {values['revenue_per_hour']:,g}{currency} of revenue an hour, "
        f"{values['machines_base']:,g} machines at {values['price_per_hour']:,g}{currency} an hour "
        f"for today's size, {values['candidates']:,} candidates a request, a p99 of at most "
        f"{values['latency_limit_ms']:g} ms.",
        _costs_counted(values),
        f"The bound: {kind} is at least {values['roi_min']:g}.",
        f"Intervals hold the middle {100 * values['interval']:g} % of {len(draws.lift_draws):,} "
        "joint draws of law, revenue model and cost. They are for this system measured again: "
        "other trainings, tests and load tests of it. They are not for another system, nor for "
        "what changes with time.",
    ]
    if values["scenarios"]:
        sentences.append(
            "What sizes of the scenarios earn and cost stands in your table, without errors."
        )
    return sentences


def _costs_counted(values):
    """Which costs enter, and which do not.

    >>> _costs_counted({"ads": 1e7})
    'Counted are the costs of serving and of the Embedding Producer; not those of training and of \
embedding tables.'
    """
    counted = ["of serving", *(text for name, text in FURTHER_COSTS.items() if values.get(name))]
    missing = [text for name, text in FURTHER_COSTS.items() if not values.get(name)]
    sentence = f"Counted are the costs {' and '.join(counted)}"
    return f"{sentence}; not those {' and '.join(missing)}." if missing else f"{sentence}."


def _parameters(question, jobs):
    values = {name: value for job in jobs for name, value in job.values.items()}
    values |= {name: question.values[name] for name in question.given}
    return [
        {
            "name": name,
            "value": json.dumps(value, ensure_ascii=False),
            "origin": "you" if name in question.given else "default",
        }
        for name, value in sorted(values.items())
        if name not in (*FILES, "output", "trainings")
    ]


def _versions():
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"Made with Python {platform.python_version()}, {versions}."

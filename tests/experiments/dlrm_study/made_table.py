"""Tables as `lib.experiments.dlrm_study.table.run` gives them, of losses that are made up."""

import pandas as pd

# FLOPs of a sample's forward pass by part; the rows of a table cost none.
TOP, BOTTOM, REST = 100.0, 50.0, 50.0


def sized(way, factor):
    """Columns of one size: the base has 64 rows of width 8."""
    top = TOP * (factor if way in ("top_mlp", "all_mlps") else 1)
    bottom = BOTTOM * (factor if way == "all_mlps" else 1)
    rest = REST * (factor if way == "width" else 1)
    rows, width = (
        int(n * (factor if way == part else 1)) for n, part in ((64, "rows"), (8, "width"))
    )
    return {
        "rows": rows,
        "width": width,
        "tables_per_field": int(factor) if way == "tables_per_field" else 1,
        "flops": top + bottom + rest,
        "top_flops": top,
        "mlp_flops": top + bottom,
        "embedding_parameters": rows * width,
        "parameters": rows * width + 1000,
        "memory_bytes": 4.0 * (rows * width + 1000),
        "serving_bytes": 10.0 * width,
        "training_bytes": 50.0 * width,
    }


def table(points, family="dlrm", **columns):
    """A row for each (way, factor, samples, draw, seed) -> its loss."""
    rows = []
    for (way, factor, samples, draw, seed), loss in points.items():
        rows.append(
            {"samples": samples, "draw": draw, "seed": seed, "family": family, "way": way}
            | {"factor": float(factor), **sized(way, factor)}
            | {"normalised_entropy": loss + 0.01, "expected_normalised_entropy": loss}
            | {"auc": 1 - loss / 2, "calibration": 1.0, "revenue": 2 - loss, **columns}
        )
    made = pd.DataFrame(rows)
    return made.assign(training_flops=3 * made.flops * made.samples)


def grid(ways, marks, loss, draws=3, seeds=1, **given):
    """A table of every size, mark, draw and seed by loss(way, factor, samples, draw, seed)."""
    return table(
        {
            (way, factor, mark, draw, seed): loss(way, factor, mark, draw, seed)
            for way, factors in ways.items()
            for factor in factors
            for draw in range(draws)
            for seed in range(seeds)
            for mark in marks
        },
        **given,
    )

"""A reader's own models and tests as a population that metrics are compared on."""

import math

from lib.logs.table_files import cell_error
from lib.logs.tables import join_tests, load_ab_tests, load_measurements
from lib.validation.population import Population


def load_population(measurements, ab_tests) -> tuple[Population, list[str]]:
    """Models measured offline and tested online, joined by their names.

    Args:
      measurements: path of a table with `model`, `r_over_r_star` and whatever other metrics there
        are; ab_tests: path of one with `model` and `revenue_lift` (`lib.logs.tables`).

    Returns: (population, dropped): `dropped` is a sentence on each row without a partner.
    Raises: ValueError where one of the paths is missing; `lib.logs.errors.TableError` for a table
      that cannot be used.
    """
    for name, path, partner in (
        ("measurements", measurements, "ab_tests"),
        ("ab_tests", ab_tests, "measurements"),
    ):
        if not path:
            raise ValueError(f"{name}: '' is no table; give its path, needed with {partner}")
    measured = load_measurements(measurements, need=["r_over_r_star"])
    table, dropped = join_tests(measured, load_ab_tests(ab_tests))
    table.attrs["dropped"] = dropped  # so that whoever compares the models can say it
    population = Population.of(table)
    _check_metrics(measured, population)
    return population, dropped


def _check_metrics(measured, population):
    """Metrics are compared on the same models: what one of them has, all have."""
    primary = measured["model"].isin(population.primary["model"])
    if "set" in measured:
        primary &= measured["set"] == "primary"
    for metric in filter(measured.columns.__contains__, population.metrics):
        gaps = measured.index[primary & measured[metric].isna()]
        if len(gaps):
            expected = "a number as of other models; or leave the column out"
            raise cell_error(measured, gaps[0], metric, math.nan, expected)

"""A reader's own models and tests as a population that metrics are compared on."""

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
    table, dropped = join_tests(
        load_measurements(measurements, need=["r_over_r_star"]), load_ab_tests(ab_tests)
    )
    return Population.of(table), dropped

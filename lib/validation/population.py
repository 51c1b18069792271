"""A population of models, measured offline and tested online, as the metrics are compared on it."""

import dataclasses

import numpy as np
import pandas as pd

PAPER_METRICS = ("r_over_r_star", "ndcg", "recall", "opa")  # Figures 3 to 6
FURTHER_METRICS = ("revenue_ndcg", "joint_recall", "revenue_weighted_r_over_r_star")
FULL_METRICS = ("r_over_r_star_full",)  # of all candidates, which no log holds
LABELS = {"set": "primary", "kind": "", "world": "your system", "dial": "", "value": np.nan}


@dataclasses.dataclass(frozen=True)
class Population:
    """One row a model and world, with its metrics, its lift over the base, and what it is.

    Attributes:
      models: DataFrame with `model`, `r_over_r_star`, `revenue_lift` (fraction) and the columns
        of LABELS: `set` ("primary": what a team would take to a test, "secondary": broken models
        as well, "held_out": sizes that a law is asked for), `kind` of what differs from the base,
        `world`, and `dial` and `value` of a sensitivity parameter ("" where none is turned).

    >>> table = pd.DataFrame({"model": list("abc"), "r_over_r_star": [0.8, 0.82, 0.9],
    ...                       "revenue_lift": [0.0, 0.01, 0.02]})
    >>> population = Population.of(table)
    >>> population.metrics, population.first_world.world.unique().tolist()
    (('r_over_r_star',), ['your system'])
    """

    models: pd.DataFrame

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Population":
        """A table of models and tests; labels that it lacks, or leaves blank, take LABELS.

        Raises: ValueError for a missing column, or a table without a primary model whose `dial`
          is blank.
        """
        for name in ("model", "r_over_r_star", "revenue_lift"):
            if name not in table:
                raise ValueError(
                    f"Population: column {name!r} is missing; got {', '.join(map(str, table))}"
                )
        blank = {
            name: table[name].replace("", np.nan).fillna(default) if name in table else default
            for name, default in LABELS.items()
            if name != "value"
        }
        value = table["value"] if "value" in table else np.nan
        population = cls(table.assign(**blank, value=value))
        if population.primary.empty:
            raise ValueError(
                "Population: no row is a primary model without a dial; got set "
                f"{population.models['set'].unique().tolist()} and dial "
                f"{population.models['dial'].unique().tolist()}"
            )
        return population

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics that the table holds, the paper's first."""
        return self._held(PAPER_METRICS + FURTHER_METRICS + FULL_METRICS)

    @property
    def log_metrics(self) -> tuple[str, ...]:
        """Those that a log suffices for."""
        return self._held(PAPER_METRICS + FURTHER_METRICS)

    @property
    def paper_metrics(self) -> tuple[str, ...]:
        """Those of the paper's Figures 3 to 6."""
        return self._held(PAPER_METRICS)

    @property
    def plain(self) -> pd.DataFrame:
        """Primary and secondary models where no sensitivity parameter is turned."""
        return self.models[(self.models.dial == "") & (self.models.set != "held_out")]

    @property
    def primary(self) -> pd.DataFrame:
        """What metrics are compared on."""
        return self.plain[self.plain.set == "primary"]

    @property
    def first_world(self) -> pd.DataFrame:
        """All models of the first world where no sensitivity parameter is turned."""
        plain = self.models[self.models.dial == ""]
        return plain[plain.world == plain.world.iloc[0]]

    @property
    def turned(self) -> pd.DataFrame:
        """Models in worlds where a sensitivity parameter is turned, its plain value among them."""
        return self.models[self.models.dial != ""]

    def cuts(self, metric: str = "r_over_r_star") -> tuple[int, ...]:
        """The m at which a metric was measured beside its own, ascending, as in "recall@3"."""
        prefix = f"{metric}@"
        found = [
            name.removeprefix(prefix)
            for name in self._held(tuple(map(str, self.models)))
            if name.startswith(prefix)
        ]
        return tuple(sorted(int(cut) for cut in found if cut.isdigit()))

    def _held(self, names):
        """Those of the names that are columns with a value in primary models."""
        primary = self.primary
        return tuple(name for name in names if name in primary and primary[name].notna().any())

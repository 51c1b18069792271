"""Whether a model may be published: not if its progressive metrics jumped.

Metrics are those of the impressions since the export before, each scored before it was trained on
(progressive validation), so that a model that broke shows it before a server has it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Guard:
    """Compares an export's metrics with the median of those published before it.

    Attributes:
      history: the newest so many published versions that are looked at.
      least: as long as fewer have been published, all may be: a model learns fast at first.
      most_errors: a metric has jumped when it is worse than the median by more than so many of its
        own standard errors and
      least_jump: by more than this: R/R* falls by so much, the loss rises by this part of it.
    """

    history: int = 8
    least: int = 3
    most_errors: float = 4.0
    least_jump: float = 0.02

    def __post_init__(self):
        if not 1 <= self.least <= self.history or min(self.most_errors, self.least_jump) < 0:
            raise ValueError(
                "Guard: needs 1 <= least <= history, most_errors and least_jump >= 0; got "
                f"history = {self.history}, least = {self.least}, most_errors = "
                f"{self.most_errors}, least_jump = {self.least_jump}"
            )

    def refusal(self, metrics: dict, published: Sequence[dict]) -> str | None:
        """Why a model is not to be published; None where it may be.

        Args:
          metrics: `loss`, `loss_se`, `r_over_r_star`, `r_over_r_star_se` of the export.
          published: metrics of the versions published before, oldest first.

        >>> before = [{"loss": 2.0, "r_over_r_star": 0.8}] * 3
        >>> now = {"loss": 2.5, "loss_se": 0.01, "r_over_r_star": 0.8, "r_over_r_star_se": 0.01}
        >>> Guard().refusal(now, before)
        'loss 2.5 is above 2 by more than 0.04'
        >>> Guard().refusal(now | {"loss": 2.03}, before) is None
        True
        """
        for name in ("loss", "r_over_r_star"):
            if not math.isfinite(metrics.get(name, math.nan)):
                return f"{name} is {metrics.get(name)}"
        if len(published) < self.least:
            return None
        known = published[-self.history :]
        loss, ratio = (
            float(np.median([one[name] for one in known])) for name in ("loss", "r_over_r_star")
        )
        rise = max(self.most_errors * metrics["loss_se"], self.least_jump * abs(loss))
        fall = max(self.most_errors * metrics["r_over_r_star_se"], self.least_jump)
        if metrics["loss"] > loss + rise:
            return f"loss {metrics['loss']:.6g} is above {loss:.6g} by more than {rise:.3g}"
        if metrics["r_over_r_star"] < ratio - fall:
            return (
                f"R/R* {metrics['r_over_r_star']:.6g} is below {ratio:.6g} by more than {fall:.3g}"
            )
        return None

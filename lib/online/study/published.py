"""What others have published on the cost of stale parameters."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

MONOLITH = (
    "Liu et al. 2022, Monolith (arXiv:2209.07663), DeepFM on Criteo's click log: AUC by the "
    "interval at which parameters are synchronised"
)
BATCH_AUC = 0.7943  # of the model that was trained once, as batches


class PublishedInterval(NamedTuple):
    """AUC of online training with one interval of synchronisation, minutes."""

    minutes: int
    auc: float


INTERVALS = (
    PublishedInterval(30, 0.7980),
    PublishedInterval(60, 0.7978),
    PublishedInterval(300, 0.7966),
)


def published_staleness() -> pd.DataFrame:
    """minutes, auc, cost: what each interval loses against the shortest, in AUC.

    >>> published_staleness().cost.round(4).tolist()
    [0.0, 0.0002, 0.0014]
    """
    table = pd.DataFrame(INTERVALS)
    return table.assign(cost=table.auc.iloc[0] - table.auc)

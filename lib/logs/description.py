"""What a log holds, in numbers and tables for a reader."""

import numpy as np
import pandas as pd

# Of `lib.logs.tables.METRICS`, by whether they read eCPM.
WITHOUT_MONEY = ("ndcg", "recall", "opa")
OF_MONEY = ("r_over_r_star", "revenue_ndcg", "joint_recall", "revenue_weighted_r_over_r_star")


def ads_of_impression(impressions, index: int = 0) -> pd.DataFrame:
    """One impression as a table, a row an ad, highest rank index first; padding is left out.

    Args:
      impressions: `lib.logs.reader.Impressions`; index: which of them.

    Returns: DataFrame with the columns v, ecpm and what was read as `extra`.
    """
    real = impressions.mask[index]
    columns = {"v": impressions.v, "ecpm": impressions.ecpm} | impressions.extra
    table = pd.DataFrame({name: values[index][real] for name, values in columns.items()})
    return table.sort_values("v", ascending=False, ignore_index=True)


def ecpm_concentration(ecpm) -> tuple[np.ndarray, np.ndarray]:
    """How few ads hold how much of the eCPM (a Lorenz curve, highest first).

    Args:
      ecpm: any shape; only what is above 0 counts, since other ads never reached Ranking.

    Returns: (share of ads, share of eCPM), each [ads + 1], from 0 to 1; NaN where no ad has an
      eCPM above 0: such a log holds no money.

    >>> ads, money = ecpm_concentration([0.0, 10.0, 30.0])
    >>> ads.tolist(), money.tolist()
    ([0.0, 0.5, 1.0], [0.0, 0.75, 1.0])
    """
    ecpm = np.asarray(ecpm, float)
    ranked = np.sort(ecpm[ecpm > 0])[::-1]
    if not len(ranked):
        return np.full(2, np.nan), np.full(2, np.nan)
    money = np.concatenate([[0.0], np.cumsum(ranked)])
    return np.arange(len(money)) / len(ranked), money / money[-1]


def top_share(ecpm, share: float = 0.1) -> float:
    """Share of all eCPM that the highest `share` of the ranked ads hold, interpolated.

    NaN where no ad has an eCPM above 0.

    >>> top_share([0.0, 10.0, 30.0], 0.5)
    0.75
    """
    return float(np.interp(share, *ecpm_concentration(ecpm)))


def defined_metrics(money: bool) -> list[str]:
    """Names of the metrics of a log with money, ads with ecpm > 0, or without any.

    >>> defined_metrics(False)
    ['ndcg', 'recall', 'opa']
    """
    return [*WITHOUT_MONEY, *(OF_MONEY if money else ())]

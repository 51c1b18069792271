"""Published accuracy of click models on public data, to lay one's own beside.

From BARS (Zhu et al. 2022, openbenchmark.github.io/BARS, github.com/reczoo/BARS at commit
5b5e61f). The figures hold for the full data sets in BARS' own splits ("x1") and its own tuning: a
sample of a data set, another split or one pass over the rows gives other ones.
"""

import pandas as pd

SOURCE = "BARS, github.com/reczoo/BARS, commit 5b5e61f"
# Data set -> BARS' name of it.
PUBLISHED = {"criteo": "criteo_x1", "avazu": "avazu_x1"}
_COLUMNS = ("data_set", "model", "rows", "auc", "log_loss")
# `rows` is what was scored. After one epoch, BARS' logs give validation rows alone.
_TEST, _ONE_EPOCH = "test", "validation, after one epoch"
_FIGURES = (
    ("criteo_x1", "logistic_regression", _TEST, 0.7886, 0.4609),
    ("criteo_x1", "factorisation_machine", _TEST, 0.8022, 0.4490),
    ("criteo_x1", "mlp", _TEST, 0.8137, 0.4382),
    ("criteo_x1", "dlrm", _TEST, 0.8138, 0.4382),
    ("criteo_x1", "dlrm", _ONE_EPOCH, 0.8042, 0.4470),
    ("criteo_x1", "dcn_v2", _TEST, 0.8142, 0.4378),
    ("criteo_x1", "final_mlp", _TEST, 0.8149, 0.4370),
    ("avazu_x1", "dlrm", _TEST, 0.7639, 0.3669),
    ("movielens_latest_x1", "logistic_regression", _TEST, 0.9342, 0.3201),
    ("movielens_latest_x1", "dlrm", _TEST, 0.9691, 0.2150),
    ("movielens_latest_x1", "dlrm", _ONE_EPOCH, 0.9350, 0.2913),
    ("frappe_x1", "dlrm", _TEST, 0.9840, 0.1444),
)
# Of Criteo x1, the full data set whose click rate is known: (training rows, share of clicks).
CRITEO_X1 = (33_000_000, 0.2562)


def published_click_models(data_set: str | None = None) -> pd.DataFrame:
    """AUC and log loss that BARS reports, on the full data sets only.

    Args:
      data_set: "criteo_x1", "avazu_x1", "movielens_latest_x1" or "frappe_x1"; default all.

    Returns: DataFrame with data_set, model, rows (scored: "test", or "validation, after one
      epoch"), auc, log_loss (nats a row).
    Raises: ValueError for another data set.

    >>> published_click_models("avazu_x1")[["model", "auc", "log_loss"]].to_numpy().tolist()
    [['dlrm', 0.7639, 0.3669]]
    """
    table = pd.DataFrame(_FIGURES, columns=_COLUMNS)
    if data_set is None:
        return table
    known = table["data_set"].unique()
    if data_set not in known:
        raise ValueError(f"data_set must be one of {', '.join(known)}; got {data_set!r}")
    return table[table["data_set"] == data_set].reset_index(drop=True)

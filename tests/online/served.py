"""A small model as servers hold it, made without a training."""

import numpy as np

from lib.models.feature_tables import feature_tables
from lib.serving.graphs.export import random_weights
from lib.serving.served_model import ServedModel
from tests.small_log import FEATURES


def make_model(seed=0, features=FEATURES, hidden=(8, 4, 1)):
    """Random weights; another seed is another model."""
    rng = np.random.default_rng([seed, 7])
    inputs = features.width("user") + features.width("ad")
    tables = {
        width: rng.normal(size=(rows, width)).astype(np.float32)
        for width, rows in feature_tables(features.features).rows.items()
    }
    return ServedModel(features, random_weights([inputs, *hidden], seed), tables)


def trained_on(model, rows, seed):
    """The model after its layers and the tables' `rows` (width -> rows) have changed."""
    rng = np.random.default_rng(seed)
    arrays = {name: np.array(array) for name, array in model.arrays().items()}
    for name in model.dense_arrays():
        if name.endswith("kernel"):
            arrays[name] += rng.normal(size=arrays[name].shape).astype(np.float32)
    for width, changed in rows.items():
        arrays[f"table_{width}"][changed] += 1
    return ServedModel.from_arrays(model.features, arrays)

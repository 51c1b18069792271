"""The study behind notebook 01: many models in many worlds, measured offline, tested online.

Worlds, variants and dials are tables, fixed before anything is run (plan.py); two tasks of
`lib.infra.sweep` carry them out (tasks.py); their results are one table (table.py). What the sizes
among them are worth is also predicted without having seen them (held_out_sizes.py).
"""
from lib.experiments.study.held_out_sizes import predict_lifts
from lib.experiments.study.plan import Variant, expand_dials, expand_worlds, fields, plain_values
from lib.experiments.study.table import average, read, run
from lib.experiments.study.tasks import offline, train

__all__ = ["Variant", "average", "expand_dials", "expand_worlds", "fields", "offline",
           "plain_values", "predict_lifts", "read", "run", "train"]

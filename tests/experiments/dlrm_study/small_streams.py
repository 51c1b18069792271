"""Simulated streams of some hundred rows, and what is trained on them."""

from lib.experiments.dlrm_study import streams
from lib.experiments.dlrm_study.table import TrainingPlan

STREAM = {
    **{"profiles": 64, "values": 1000, "fields": 4, "true_width": 4},
    **{"dense": 2, "dense_waves": 2, "horizon": 1000},
}
ROWS = 1000
BASE = {"rows": 32, "width": 4, "tables_per_field": 1, "bottom": [4], "top": [8]}
PLAN = TrainingPlan(marks=[64, 128], validation_rows=256, batches=[[0, 32]])


def simulated(folder, seeds=(0,), requests=0, rows=ROWS, **changes):
    """The streams of each seed."""
    (found,) = streams.simulated_streams(
        [{**STREAM, **changes}], seeds, rows, folder, requests=requests, candidates=3
    )
    return found

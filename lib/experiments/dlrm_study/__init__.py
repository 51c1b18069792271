"""The study behind notebook 06: what click models gain by data, by parameters and by compute.

sizes    a model's size, and the ways to scale it
streams  click data prepared once, for all trainings
tasks    one size trained over a stream, measured as it goes
table    many trainings as one table
gains    what doubling each resource gives, measured
resource_laws  the law of each resource: exponent, constant, what is left
worlds   the same in streams of other popularity, spectrum, drift and noise
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "sizes": ["WAYS", "scaled", "ways_to_scale"],
        "streams": ["REAL", "open_streams", "simulated_streams"],
        "table": [
            "Training",
            "TrainingPlan",
            "counts_by_part",
            "plan_trainings",
            "rates_of",
            "run",
            "with_tuned_rates",
        ],
    },
)

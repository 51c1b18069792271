"""What a size costs to serve: Algorithm 1, and models of a request's time that need a few
measured sizes instead of all of them.

    algorithm         QPS -> machines -> money
    device            what processors can do at most: T4, one core, this machine
    roofline          a request's time from a device's figures, operator by operator
    published         the roofline of a T4 held against published results
    gaussian_process  what measured times differ by from the roofline's
    service_time      a request's time from a few measured sizes: roofline and residual
    relative_cost     what sizes need beside the base, measured or predicted
    embedding_producer  what ads' parts computed ahead cost and save
    training_cost     Algorithm 1 on the training step
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "algorithm": [
            "cost_per_hour",
            "machines_interval",
            "priced",
            "priced_by_form",
            "priced_or_recorded",
            "required_machines",
        ],
        "device": ["Device", "T4", "this_machine"],
        "embedding_producer": ["cache_savings", "producer_machines"],
        "relative_cost": ["first_layer_gain", "not_proportional", "relative_machines"],
        "roofline": ["Roofline"],
        "service_time": ["ServiceTimeModel", "timed_rows"],
    },
)

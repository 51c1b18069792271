"""The study behind notebook 01: many models in many worlds, measured offline, tested online.

Worlds, variants and dials (sensitivity parameters) are tables, fixed before anything is run
(plan.py); two tasks of `lib.infra.sweep` carry them out (tasks.py); their results are one table
(table.py); assembly.py puts the parts of notebook 01's study together. What the sizes among them
are worth is also predicted without having seen them (held_out_sizes.py), and for any size in each
system (size_lifts.py).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "assembly": ["StudyPlan", "first_tables", "population_of"],
        "held_out_sizes": ["predict_lifts", "skill"],
        "size_lifts": [
            "growth_by_system",
            "largest_size",
            "law_warnings",
            "lifts_across_systems",
            "lifts_by_system",
            "lifts_of_sizes",
        ],
        "plan": ["Variant", "expand_dials", "expand_worlds", "plain_values", "training_fields"],
        "table": ["average", "run"],
        "tasks": ["offline", "train"],
    },
)

"""Training in one pass over a stream of impressions, resumable, the same numbers twice."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loop": [
            "Adagrad",
            "Learner",
            "Trainee",
            "TrainingReport",
            "as_inputs",
            "evaluate",
            "load_weights",
            "predict",
            "ranks",
            "save_weights",
            "set_up_backend",
            "train",
        ]
    },
)

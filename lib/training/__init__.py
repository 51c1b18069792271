"""Training in one pass over a source of batches, resumable, the same numbers twice.

source         BatchSource, what a training needs of a source; LogSource, a stretch of a log
learner        a scorer with its loss and optimizer
click_learner  a click model with row-wise Adagrad for its tables
compiled_step  the training step, compiled once for all models of a form
jax_step       the same step of click models on JAX
adagrad        the optimizer
targets        ranks of v, with label noise
checkpoint     variables and offset in one file; a finished model's weights
loop           one pass: source -> learner -> checkpoint
scoring        predictions and offline metrics of a trained scorer
progressive    one pass over clicks, scored on the rows that come next
distributed    on several processes and machines; asynchrony, emulated
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adagrad": ["Adagrad"],
        "click_learner": ["ClickLearner"],
        "checkpoint": ["Checkpoint", "Progress", "load_weights", "save_weights"],
        "learner": ["Learner", "Trainee", "set_up_backend"],
        "loop": ["TrainingReport", "train"],
        "progressive": ["evaluate_clicks", "predict_clicks", "train_progressively"],
        "scoring": ["as_inputs", "evaluate", "predict"],
        "source": ["BatchSource", "LogSource"],
        "targets": ["RankTarget", "ranks"],
    },
)

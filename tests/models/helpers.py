"""Models as if trained, and what a saved one is after reading."""

import keras
import numpy as np


def with_random_statistics(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.05, 0.5, w.shape) for w in model.get_weights()])
    return model


def assert_saved_is_the_same(model, inputs, folder):
    """Saved and read back, by Keras alone, it scores the same."""
    path = folder / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert keras.saving.get_registered_name(type(model)).startswith("retrieval_scaling>")
    assert type(again) is type(model) and again.get_config() == model.get_config()
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(again(inputs), model(inputs))

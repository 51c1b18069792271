import numpy as np
import pytest

from lib.cost.algorithm import priced
from lib.cost.training_cost import (
    FORMS,
    TrainingModel,
    compiled_model,
    measure_training,
    median_interval,
    random_impressions,
    training_cost_task,
)
from lib.infra import sweep
from lib.losses import ARFLoss
from lib.models.flop_count import training_flops

SIZE, USER_WIDTH = [12, 8, 6, 1], 5


def pair():
    """Both forms with the same weights."""
    naive = TrainingModel(SIZE, "naive", USER_WIDTH, seed=1)
    split = TrainingModel(SIZE, "first_layer_optimised", USER_WIDTH, seed=2)
    naive.users.set_weights(split.users.get_weights())
    naive.ads.set_weights(split.ads.get_weights())
    first, hidden = split.head.first, naive.head.hidden
    hidden[0].norm.set_weights(
        [
            np.concatenate(both)
            for both in zip(first.user_norm.get_weights(), first.ad_norm.get_weights(), strict=True)
        ]
    )
    kernel, bias = first.user_linear.get_weights()
    hidden[0].linear.set_weights([np.concatenate([kernel, *first.ad_linear.get_weights()]), bias])
    hidden[1].set_weights(split.head.hidden[0].get_weights())
    naive.head.score.set_weights(split.head.score.get_weights())
    return naive, split


def gradients(model, inputs, labels):
    """(loss, gradients of the embeddings and of the last kernel), a training step's."""
    import tensorflow as tf

    kept = [model.users.embeddings, model.ads.embeddings, model.head.score.kernel]
    with tf.GradientTape() as tape:
        loss = ARFLoss(m=3, k=3)(labels, model(inputs, training=True))
    return float(loss), [
        np.asarray(tf.convert_to_tensor(g))
        for g in tape.gradient(loss, [variable.value for variable in kept])
    ]


def test_both_forms_are_one_model():
    """Equal losses and gradients: what differs is how often the user's part is computed."""
    inputs, labels = random_impressions(6, 5, seed=0)
    (loss, slopes), (other_loss, other_slopes) = (gradients(m, inputs, labels) for m in pair())
    assert loss == pytest.approx(other_loss, rel=1e-5)
    for one, other in zip(slopes, other_slopes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * np.abs(one).max())
        assert np.abs(one).max() > 0


def test_labels_are_random_places():
    inputs, labels = random_impressions(200, 4, seed=0)
    assert (np.sort(labels, axis=1) == np.arange(4)).all()
    assert labels.mean(axis=0) == pytest.approx([1.5] * 4, abs=0.3)
    again = random_impressions(200, 4, seed=0)
    np.testing.assert_array_equal(inputs["ad"], again[0]["ad"])


def test_flops_of_a_step_by_loop():
    """Each product forward, and twice backward: once for its input, once for its weights."""
    impressions, ads = 7, 10
    pairs = impressions * ads
    above = pairs * (8 * 6 + 6 * 1)
    assert training_flops(SIZE, "naive", impressions, ads, USER_WIDTH) == 3 * 2 * (
        pairs * 12 * 8 + above
    )
    assert training_flops(SIZE, "first_layer_optimised", impressions, ads, USER_WIDTH) == 3 * 2 * (
        impressions * 5 * 8 + pairs * 7 * 8 + above
    )


def test_interval_of_a_median_covers_it():
    rng = np.random.default_rng(0)
    found = np.array([median_interval(rng.exponential(size=30), 0.9) for _ in range(2000)])
    assert (found[:, 1] <= found[:, 0]).all()
    assert (found[:, 0] <= found[:, 2]).all()
    inside = (found[:, 1] <= np.log(2)) & (np.log(2) <= found[:, 2])
    assert 0.88 <= inside.mean() <= 0.97


@pytest.mark.slow
def test_a_row_for_each_form_trains_all_weights():
    rows = measure_training(SIZE, impressions=8, steps=5, user_width=USER_WIDTH)
    assert [row["form"] for row in rows] == list(FORMS)
    for row in rows:
        assert (
            row["steps_per_second_low"] <= row["steps_per_second"] <= (row["steps_per_second_high"])
        )
        assert row["impressions_per_second"] == pytest.approx(8 * row["steps_per_second"])
        assert row["flops_per_second"] == pytest.approx(
            row["steps_per_second"] * training_flops(SIZE, row["form"], 8, 10, USER_WIDTH)
        )
        assert row["failure"] == ""


def test_a_step_moves_weights_embeddings_and_alpha():
    model = compiled_model(SIZE, "first_layer_optimised", USER_WIDTH, 0, ARFLoss(m=3, k=3), 0.01)
    before = [v.numpy().copy() for v in model.trainable_variables]
    model.train_on_batch(*random_impressions(8, 5, seed=0))
    moved = [np.any(v.numpy() != x) for v, x in zip(model.trainable_variables, before, strict=True)]
    names = [v.path for v in model.trainable_variables]
    assert "alpha" in names  # the loss's own
    # A bias in front of batch norm, and the last one before a ranking loss, get no slope.
    assert all(m for m, name in zip(moved, names, strict=True) if "bias" not in name)


def test_machines_by_the_same_rule():
    rows = [
        {
            "size_parameters": [4, 2, 1],
            "steps_per_second": 10.0,
            "steps_per_second_low": 9.0,
            "steps_per_second_high": 11.0,
        },
        {
            "size_parameters": [8, 2, 1],
            "steps_per_second": 5.0,
            "steps_per_second_low": 4.5,
            "steps_per_second_high": 5.5,
        },
    ]
    table = priced(rows, [4, 2, 1], machines_base=3, price_per_hour=2, rate="steps_per_second")
    assert table["machines"].tolist() == [3, 6]


def test_as_a_task_and_a_size_that_fails(tmp_path, monkeypatch):
    task = {"size_parameters": [8, 4, 1], "impressions": 4, "steps": 5, "forms": ["naive"]}
    ended = RuntimeError("the process of measure_training ended\nfor good")
    monkeypatch.setattr("lib.cost.training_cost.in_child", lambda *_: (_ for _ in ()).throw(ended))
    [done] = sweep.run(
        training_cost_task, [task], tmp_path, n_jobs=1, backend="sequential", progress=False
    )
    failed = done["rows"]
    assert [row["form"] for row in failed] == ["naive"]
    assert all(
        row["failure"] == "RuntimeError: the process of measure_training ended" for row in failed
    )
    assert np.isnan([row["steps_per_second"] for row in failed]).all()
    monkeypatch.undo()
    assert set(failed[0]) == set(training_cost_task(task, None)["rows"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forms": ("fast",)}, "forms must be some of naive, first_layer_optimised"),
        ({"ads": 1}, "ads must be >= 2; got 1"),
        ({"impressions": 0}, "impressions must be >= 1; got 0"),
        ({"steps": 1}, "steps must be >= 5; got 1"),
        ({"interval": 90}, "interval must lie between 0 and 1; got 90"),
        ({"size_parameters": [4, 2]}, "the last of them 1; got"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        training_cost_task({"size_parameters": [8, 4, 1], **change}, None)


def test_an_unknown_form():
    with pytest.raises(ValueError, match="form must be one of naive"):
        TrainingModel([8, 4, 1], "fast")

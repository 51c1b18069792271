"""A learner's compiled steps: bit for bit those of Keras, compiled once."""

import ast

import numpy as np
import pytest

from lib.infra import arithmetic
from lib.logs import reader
from lib.losses import ARFLoss, PairwiseLogisticLoss, RelaxLoss, SoftmaxLoss
from lib.training import Adagrad, RankTarget, Trainee, as_inputs, compiled_step, learner
from tests.fresh_process import printed
from tests.small_log import FEATURES
from tests.training.small_training import (
    BATCH,
    LEARNING_RATE,
    WINDOW,
    all_digests_of_weights,
    alpha,
    assert_same_weights,
    fixed_examples,
    interrupt,
    make_learner,
    train,
)


def train_slowly(log, scorer, loss, stop, noise=0.0, seed=0):
    """Reference of `train`: one `train_on_batch` a step; returns the losses."""
    learner.set_up_backend()
    trainee, target, losses = Trainee(scorer, loss), RankTarget(noise, seed), []
    trainee.compile(Adagrad(LEARNING_RATE, epsilon=1e-8), loss)
    batches = reader.stream(log, FEATURES, BATCH, window=WINDOW, seed=seed, stop=stop)
    for step, batch in enumerate(batches):
        value = trainee.train_on_batch(as_inputs(batch), target(batch, step))
        losses.append(np.ravel(value)[0])
    return losses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "make_loss", "noise", "stop"),
    [
        ("mlp", lambda: ARFLoss(2, 2), 0.0, 6 * BATCH + 9),
        ("twin_tower", lambda: RelaxLoss(2, 2), 0.5, 6 * BATCH + 9),
        ("mlp", SoftmaxLoss, 0.5, 6 * BATCH),
        ("mlp", PairwiseLogisticLoss, 0.0, 6 * BATCH),
    ],
    ids=["arf", "relax", "softmax", "pairwise"],
)
def test_many_steps_a_call_equal_one_a_call(
    log, tmp_path, monkeypatch, family, make_loss, noise, stop
):
    """To the last bit: also in a shorter last batch, and gone on with from a checkpoint."""
    fast, slow = (make_learner(3, make_loss(), family=family) for _ in range(2))
    settings = {"stop": stop, "noise": noise, "checkpoint": tmp_path / "run.npz", "every": 4}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, 5)
        train(log, fast, **settings)
    report = train(log, fast, **settings).report
    want = train_slowly(log, slow.scorer, slow.loss, stop=stop, noise=noise)
    np.testing.assert_array_equal(report.losses, want)
    assert_same_weights(fast.scorer, slow.scorer)
    assert alpha(fast.loss) == alpha(slow.loss)


@pytest.mark.slow
def test_a_learner_goes_through_several_trainings(log):
    """After `reset` only its weights and alpha come from the training before."""
    fast, slow = make_learner(3), make_learner(3)
    for seed in range(2):
        fast.reset()
        report = train(log, fast, stop=100, seed=seed).report
        want = train_slowly(log, slow.scorer, slow.loss, stop=100, seed=seed)
        np.testing.assert_array_equal(report.losses, want)
    assert_same_weights(fast.scorer, slow.scorer)
    assert alpha(fast.loss) == alpha(slow.loss)


def test_without_reset_a_training_goes_on_from_the_sums(log, trained):
    """Two stretches, one after the other, are one longer stretch."""
    parts = make_learner()
    for start in (0, 200, 400):
        train(log, parts, start=start, stop=min(start + 200, 500), window=0)
    whole = train(log, window=0)
    assert_same_weights(parts.scorer, whole.scorer)
    assert alpha(parts.loss) == alpha(whole.loss)


def test_the_seed_changes_the_weights(log):
    first, second = (train(log, make_learner(seed), stop=100).report.losses for seed in (0, 1))
    assert (first != second).all()


# Weights and Adagrad's sums; whoever changes these has to draw the tables of trainings anew.
COMMITTED = {
    "arf": "58dc27aafda5",
    "relax": "633fc430cf99",
    "softmax": "64ee401cee1e",
    "pairwise": "470429095993",
    "twin tower": "3c91f61df491",
}


@pytest.mark.slow
def test_trained_weights_are_the_committed_ones_to_the_last_bit():
    if not arithmetic.as_committed():
        pytest.skip("TensorFlow rounds here in another way than where the digests were made")
    assert all_digests_of_weights() == COMMITTED


@pytest.mark.slow
def test_trained_weights_do_not_hang_on_the_instruction_set():
    code = (
        "from lib.infra.settings import configure; configure()\n"
        "from tests.training.small_training import all_digests_of_weights as digests\n"
        "print(digests())"
    )
    printed_there = printed(code, ONEDNN_MAX_CPU_ISA="SSE41")
    assert ast.literal_eval(printed_there) == all_digests_of_weights()


# Operations that begin with the processor's estimate of a reciprocal or a root.
ESTIMATES = ("Rsqrt", "Reciprocal", "Inv", "Softmax", "Sigmoid", "Tanh", "Pow")


def operations_of_a_step(learner):
    """Names of the operations that run in a step, after TensorFlow's own rewriting of them."""
    from tensorflow.python.eager import context

    context.context().enable_graph_collection()
    learner.take_steps(fixed_examples(2), 64)
    graphs = context.context().export_run_metadata().function_graphs
    context.context().disable_graph_collection()
    nodes = [
        node
        for graph in (entry.post_optimization_graph for entry in graphs)
        for part in (graph.node, *(function.node_def for function in graph.library.function))
        for node in part
    ]
    composed = [name.decode() for node in nodes for name in node.attr["op_names"].list.s]
    return {node.op for node in nodes} | set(composed)


@pytest.mark.parametrize("family", ["mlp", "twin_tower"])
@pytest.mark.parametrize(
    "loss", [ARFLoss(2, 2), RelaxLoss(2, 2), SoftmaxLoss(), PairwiseLogisticLoss()]
)
def test_no_operation_of_a_step_takes_an_estimate(loss, family, monkeypatch):
    # A step that another test compiled would serve, and its graph not be seen.
    monkeypatch.setattr(compiled_step, "_COMPILED", {})
    names = operations_of_a_step(make_learner(loss=loss, family=family))
    assert {"MatMul", "RealDiv", "Sqrt"} <= names
    estimates = {name for name in names if name.removesuffix("Grad") in ESTIMATES}
    assert not estimates


def test_keras_batch_norm_would_take_one():
    import tensorflow as tf

    layer = tf.keras.layers.BatchNormalization()
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((3, 2))).graph
    assert "Rsqrt" in {node.type for node in graph.get_operations()}

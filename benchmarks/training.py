"""Training of a small and of a larger model, beside other ways to do the same.

Alone: the same model trained on the same log of the small simulated world by us and by one
`train_on_batch` a step, pass after pass. Several: the gradients of MEMBERS models of one form, one
after the other as `lib.training` does, vectorised over the members, and each compiled by XLA,
which chooses its code by processor and so gives other numbers elsewhere. All ways take turns in
one process, so that a busy moment of the machine falls on all; ratios are taken within a turn.
What compiles is left out of the times of steps and given by itself, and so is the reading of the
log. The limit is the rate of a large matrix product on as many threads as a step uses.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from tqdm import trange

from benchmarks.report import row
from lib import simulation, training
from lib.infra import machine
from lib.logs import reader
from lib.logs.features import Features
from lib.losses import ARFLoss
from lib.models.flop_count import flops
from lib.models.scorer import Scorer
from lib.training import compiled_step

BATCH, PASSES = 64, 7
HIDDEN = {"small": [32, 8, 8, 8, 1], "larger": [1024, 256, 256, 256, 1]}
STEPS = {"small": 129, "larger": 33}  # of a pass
ALTERNATIVE = "one train_on_batch a step"
LEARNING_RATE, EPSILON = 0.01, 1e-8
MEMBERS, TURNS = 8, 15


def write_log(path):
    """Simulate the log of the longest pass; returns its features."""
    world = simulation.World(simulation.world_parameters("small"))
    reader.write_logs(
        path,
        simulation.sample_logs(
            simulation.install_pre_ranking(simulation.match(world)),
            BATCH * max(STEPS.values()),
            seed=0,
        ),
    )
    return Features(features=world.features)


def compiled_trainee(scorer, loss):
    """What `one_step_a_call` trains."""
    trainee = training.Trainee(scorer, loss)
    trainee.compile(training.Adagrad(LEARNING_RATE, epsilon=EPSILON), loss)
    trainee.optimizer.build(trainee.trainable_variables)
    return trainee


def one_step_a_call(trainee, log, steps):
    """The other side: a pass in which Keras is handed each step by itself; TrainingReport."""
    trainee.optimizer.reset()
    losses, samples, seconds = [], [], []
    for batch in reader.stream(
        log, trainee.scorer.features, BATCH, window=BATCH * 64, stop=steps * BATCH
    ):
        begin = time.perf_counter()
        losses.append(
            np.ravel(
                trainee.train_on_batch(
                    training.as_inputs(batch), training.ranks(batch.v, batch.mask)
                )
            )[0]
        )
        samples.append(batch.mask.sum())
        seconds.append(time.perf_counter() - begin)
    return training.TrainingReport(
        steps * BATCH,
        sum(samples),
        np.array(losses),
        (steps - 1) * BATCH,
        sum(samples[1:]),
        sum(seconds[1:]),
        flops(trainee.scorer.head),
        machine.matrix_product_peak(training.set_up_backend()),
    )


def passes(log, features, size):
    """Reports of both sides, and the seconds of our calls.

    Returns: (ours, theirs, seconds), [PASSES] each. The first second is a call that compiles.
    """
    ours, theirs, seconds = [], [], []
    mine, other = ((Scorer(features, HIDDEN[size], "mlp", 0), ARFLoss(2, 2)) for _ in range(2))
    trainee = compiled_trainee(*other)
    learner = training.Learner(*mine, LEARNING_RATE, EPSILON)
    for _ in trange(PASSES, desc=f"passes, {size} model"):
        begin = time.perf_counter()
        learner.reset()
        source = training.LogSource(
            log, features, stop=STEPS[size] * BATCH, batch_impressions=BATCH, window=BATCH * 64
        )
        ours.append(training.train(learner, source, progress=False))
        seconds.append(time.perf_counter() - begin)
        theirs.append(one_step_a_call(trainee, log, STEPS[size]))
    for a, b in zip(mine[0].get_weights(), other[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # or the two sides would not be alternatives
    return ours, theirs, seconds


def rows_of(log, features, size, target):
    """The figures of one size; `target`: of our time over the alternative's."""
    ours, theirs, seconds = passes(log, features, size)
    speed, their_speed = (
        np.array([report.impressions_per_second for report in reports])
        for reports in (ours, theirs)
    )
    share, their_share = (
        np.array([report.share_of_peak for report in reports]) for reports in (ours, theirs)
    )
    model = f"{size} model"
    return [
        row(
            f"{model}: time of a step over that of {ALTERNATIVE}",
            "ratio",
            their_speed / speed,
            target=target,
            baseline=1,
            name=ALTERNATIVE,
        ),
        row(
            f"{model}: impressions per second",
            "1/s",
            speed,
            baseline=np.median(their_speed),
            name=ALTERNATIVE,
        )
        | {"better": "higher"},
        row(
            f"{model}: matrix products' share of the peak",
            "share",
            share,
            baseline=np.median(their_share),
            name=ALTERNATIVE,
        )
        | {"better": "higher"},
        row(
            f"{model}: whole call of {STEPS[size]} steps, trained before",
            "s",
            seconds[1:],
            baseline=seconds[0],
            name="the first call, which compiles",
        ),
    ]


def several(log, features):
    """Rows of MEMBERS small models at a time."""
    import tensorflow as tf

    ways, arguments = gradients_of_several(log, features)
    seconds, first = {name: [] for name in ways}, {}
    for name, way in ways.items():
        begin = time.perf_counter()
        tf.nest.map_structure(lambda x: x.numpy(), way(arguments))
        first[name] = time.perf_counter() - begin
    for _ in trange(TURNS, desc=f"{MEMBERS} models"):
        for name, way in ways.items():
            begin = time.perf_counter()
            tf.nest.map_structure(lambda x: x.numpy(), way(arguments))
            seconds[name].append(time.perf_counter() - begin)
    ours, *others = seconds
    rows = [
        row(
            f"gradients of {MEMBERS} models: {ours}, over {other}",
            "ratio",
            np.array(seconds[ours]) / seconds[other],
            baseline=1,
            name=other,
        )
        for other in others
    ]
    return rows + [
        row(
            f"gradients of {MEMBERS} models: first call, which compiles, {name}",
            "s",
            [value],
            baseline=first[ours],
            name=ours,
        )
        for name, value in first.items()
    ]


def gradients_of_several(log, features):
    """(name -> function, its arguments), members before each array's own axes."""
    import tensorflow as tf

    learners = [
        training.Learner(Scorer(features, HIDDEN["small"], "mlp", seed), ARFLoss(2, 2))
        for seed in range(MEMBERS)
    ]
    trainee, loss = learners[0].trainee, learners[0].loss
    states = [compiled_step.State.of(x.trainee, x.trainee.optimizer) for x in learners]
    batches = reader.stream(log, features, BATCH, stop=MEMBERS * BATCH)
    arguments = keras.tree.map_structure(
        lambda *members: tf.stack(members),
        *(
            (
                state.tables,
                compiled_step.flat(state.weights),
                compiled_step.flat(state.statistics),
                (training.as_inputs(batch), training.ranks(batch.v, batch.mask)),
            )
            for state, batch in zip(states, batches, strict=True)
        ),
    )

    def member(argument):
        tables, *numbers = argument
        state = states[0]._replace(tables=tables)
        return compiled_step.gradient(trainee, loss, state, *numbers)

    one = tf.function(member, autograph=False).get_concrete_function(
        keras.tree.map_structure(lambda x: x[0], arguments)
    )
    kinds = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), one.structured_outputs)

    def one_by_one(arguments):
        return tf.map_fn(member, arguments, fn_output_signature=kinds, parallel_iterations=1)

    def vectorised(arguments):
        return tf.vectorized_map(member, arguments, fallback_to_while_loop=False)

    return {
        "one after the other": tf.function(one_by_one, autograph=False),
        "vectorised": tf.function(vectorised, autograph=False),
        "one after the other by XLA": tf.function(one_by_one, autograph=False, jit_compile=True),
        "vectorised by XLA": tf.function(vectorised, autograph=False, jit_compile=True),
    }, arguments


def main():
    """Prints the table, returns the rows of the report."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log.parquet"
        features = write_log(log)
        rows = [
            *rows_of(log, features, "small", target=0.6),
            *rows_of(log, features, "larger", target=1.0),
            *several(log, features),
        ]
    print(f"a step: {BATCH} impressions; hidden layers: {HIDDEN}")
    for line in rows:
        met = {True: "met", False: "MISSED", None: ""}[line["met"]]
        print(
            f"{line['figure']:68} {line['ours']:9.4g} {line['unit']:5} ({line['low']:.4g} to "
            f"{line['high']:.4g}); {line['baseline_name']}: {line['baseline']:.4g} {met}"
        )
    return rows

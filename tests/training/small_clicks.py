"""Small click data, and what a training step does with it written as loops."""

from typing import NamedTuple

import numpy as np

from lib.models.click_model import ClickModel
from lib.models.click_size import Field

FIELDS = (Field("user", 60), Field("genres", 9, 3), Field("ad", 200))


class Rows(NamedTuple):
    """As `lib.logs.click_data.Clicks`."""

    labels: np.ndarray
    ids: np.ndarray
    dense: np.ndarray
    probability: np.ndarray | None = None


class Data:
    """Clicks in memory that keeps what was read of it, (start, stop) in order."""

    def __init__(self, count=1024, dense=2, seed=0):
        rng = np.random.default_rng(seed)
        columns = []
        for field in FIELDS:
            ids = rng.integers(0, field.values, (count, field.slots))
            filled = np.arange(field.slots) < rng.integers(0, field.slots + 1, (count, 1))
            columns.append(np.where(filled | (field.slots == 1), ids, -1))
        probability = rng.beta(1, 3, count).astype(np.float32)
        self.all = Rows(
            (rng.random(count) < probability).astype(np.uint8),
            np.concatenate(columns, axis=1).astype(np.int32),
            rng.normal(size=(count, dense)).astype(np.float32),
            probability,
        )
        self.read, self.seed = [], seed

    def description(self):
        return {"rows": len(self), "seed": self.seed}

    def __len__(self):
        return len(self.all.labels)

    def rows(self, start, stop):
        self.read.append((start, stop))
        return Rows(*(values[start:stop] for values in self.all))


def make_model(family="dlrm", dense=2, **changes):
    sizes = {"rows": 50, "width": 4, "bottom": (8,), "top": (8,), "cross_layers": 1, **changes}
    return ClickModel(family, FIELDS, [f"d{i}" for i in range(dense)], **sizes)


class SlowFactorisationMachine:
    """One replica of a factorisation machine without dense features, trained row by row.

    Of float64: weights [rows], vectors [rows, width] and a bias, each with Adagrad's sums.
    """

    def __init__(self, bias, weights, vectors, sums):
        self.bias, self.weights, self.vectors = (
            float(bias),
            weights.astype(float),
            vectors.astype(float),
        )
        self.bias_sum = sums
        self.weight_sums, self.vector_sums = np.zeros(len(weights)), np.zeros(len(weights))

    def step(self, rows_of, labels, rate, table_rate, epsilon):
        """rows_of: for each example, for each field its rows; returns the mean log loss."""
        bias_slope, loss = 0.0, 0.0
        weight_slopes, vector_slopes = {}, {}
        for fields, label in zip(rows_of, labels, strict=True):
            vectors = [np.mean([self.vectors[r] for r in rows], axis=0) for rows in fields if rows]
            total = np.sum(vectors, axis=0)
            logit = self.bias + sum(np.mean(self.weights[rows]) for rows in fields if rows)
            logit += sum(a @ b for i, a in enumerate(vectors) for b in vectors[:i])
            probability = 1 / (1 + np.exp(-logit))
            loss -= np.log(probability if label else 1 - probability)
            slope = probability - label
            bias_slope += slope / len(labels)
            filled = [rows for rows in fields if rows]
            for rows, vector in zip(filled, vectors, strict=True):
                for row in rows:
                    weight_slopes[row] = weight_slopes.get(row, 0) + slope / len(rows)
                    change = slope * (total - vector) / len(rows)
                    vector_slopes[row] = vector_slopes.get(row, 0) + change
        self.bias_sum += bias_slope**2
        self.bias -= rate * bias_slope / np.sqrt(self.bias_sum + epsilon)
        for row, slope in weight_slopes.items():
            self.weight_sums[row] += slope**2
            self.weights[row] -= table_rate * slope / np.sqrt(self.weight_sums[row] + epsilon)
        for row, slope in vector_slopes.items():
            self.vector_sums[row] += np.mean(slope**2)
            self.vectors[row] -= table_rate * slope / np.sqrt(self.vector_sums[row] + epsilon)
        return loss / len(labels)


def rows_of_examples(ids, size):
    """For each example, for each field the rows of its values in the model's table."""
    ends = np.cumsum([field.slots for field in FIELDS])[:-1]
    firsts = np.cumsum([0, *(min(size, field.values) for field in FIELDS)])
    return [
        [
            [int(first + value % min(size, field.values)) for value in values if value >= 0]
            for field, first, values in zip(FIELDS, firsts, np.split(example, ends))
        ]
        for example in ids
    ]


def deviation_from_loops():
    """Largest difference of a factorisation machine's training from the loops', two replicas."""
    import keras

    from lib.training.click_learner import ClickLearner
    from lib.training.progressive import as_steps

    data = Data(192, dense=0)
    model = make_model("factorisation_machine", dense=0, replicas=2)
    learner = ClickLearner(model, 0.05, 0.1, epsilon=1e-6)

    def values():
        # Copied: TensorFlow may hand over the variable's own memory.
        bias = np.array(keras.ops.convert_to_numpy(model.linear.bias))
        tables = {w: keras.ops.convert_to_numpy(model.tables[w].embeddings) for w in (1, 4)}
        weights = [np.array(tables[1][:, r]) for r in range(2)]
        vectors = [np.array(tables[4][:, r * 4 : r * 4 + 4]) for r in range(2)]
        return [np.ravel(bias)[r] for r in range(2)], weights, vectors

    slow = [SlowFactorisationMachine(*start, sums=0.1) for start in zip(*values(), strict=True)]
    losses = learner.take_steps(*as_steps(data.all, 32))
    for step in range(6):
        part = slice(step * 32, step * 32 + 32)
        rows, labels = rows_of_examples(data.all.ids[part], 50), data.all.labels[part]
        for r, machine in enumerate(slow):
            want = machine.step(rows, labels, 0.05, 0.1, 1e-6)
            np.testing.assert_allclose(losses[step, r], want, rtol=1e-5)
    return max(
        np.abs(np.asarray(got) - want).max()
        for machine, *gots in zip(slow, *values(), strict=True)
        for got, want in zip(gots, (machine.bias, machine.weights, machine.vectors), strict=True)
    )

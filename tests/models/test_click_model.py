"""Click models: slow references, replicas, hashing and pooling, what a training's graph holds."""

import itertools

import keras
import numpy as np
import pytest

from lib.models import dlrm
from lib.models.click_model import ClickModel, pairwise_products
from lib.models.click_size import CLICK_FAMILIES, Field

FIELDS = [Field("user", 1000), Field("genres", 20, 3), Field("ad", 50)]
DENSE = ["age", "hour"]
SIZES = {"rows": 30, "width": 4, "bottom": (5,), "top": (6, 3)}
RNG = np.random.default_rng(0)
N = 40


def clicks(count=N, dense=2):
    ids = [RNG.integers(0, 1000, count), *RNG.integers(-1, 20, (3, count))]
    ids = np.stack([*ids, RNG.integers(0, 50, count)], axis=1).astype(np.int32)
    ids[0, 1:4], ids[1, 1:4] = -1, [7, -1, 7]
    return {"ids": ids, "dense": RNG.normal(size=(count, dense)).astype(np.float32)}


def changed(model, seed=0):
    """The model with other weights, none of them 0."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return model


def weights(model):
    """name -> weights of the only replica, float64."""
    found = {}
    for variable in model.trainable_variables:
        name = "/".join(variable.path.split("/")[-2:])
        array = np.asarray(variable, float)
        found[name] = array if "embed" in name else array[0]
    return found


def slow_vectors(table, ids, tables_per_field):
    """The pooled vectors of one impression, looked up one by one."""
    vectors, first = [], 0
    for k in range(tables_per_field):
        column = 0
        for field in FIELDS:
            rows = min(SIZES["rows"] - k, field.values)
            real = [i for i in ids[column : column + field.slots] if i >= 0]
            looked_up = [table[first + i % rows] for i in real]
            vectors.append(np.mean(looked_up, axis=0) if real else np.zeros(table.shape[1]))
            column, first = column + field.slots, first + rows
    assert first == len(table)
    return vectors


def slow_mlp(x, w, name, count, last_is_hidden=False):
    for i in range(count):
        x = x @ w[f"{name}_{i}/kernel"] + w[f"{name}_{i}/bias"][0]
        if i < count - 1 or last_is_hidden:
            x = np.maximum(x, 0)
    return x


def slow_logit(family, w, ids, dense, tables_per_field):
    width = 1 if family == "logistic_regression" else SIZES["width"]
    vectors = slow_vectors(w[f"embed_{width}/embeddings"], ids, tables_per_field)
    if family == "mlp":
        return slow_mlp(np.concatenate([dense, *vectors]), w, "top", 3)[0]
    if family == "dcn_v2":
        x = first = np.concatenate([dense, *vectors])
        for i in range(3):
            x = first * (x @ w[f"cross_{i}/kernel"] + w[f"cross_{i}/bias"][0]) + x
        return slow_mlp(x, w, "top", 3)[0]
    if family == "dlrm":
        bottom = [slow_mlp(dense, w, "bottom", 2, last_is_hidden=True)] if len(dense) else []
        vectors = bottom + vectors
        pairs = [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i)]
        return slow_mlp(np.concatenate([*bottom, pairs]), w, "top", 3)[0]
    linear = slow_vectors(w["embed_1/embeddings"], ids, tables_per_field)
    logit = np.sum(linear) + dense @ w["linear/kernel"][:, 0] + w["linear/bias"][0, 0]
    if family == "logistic_regression":
        return logit
    if len(dense):
        vectors = vectors + [x * v for x, v in zip(dense, w["factors/kernel"])]
    return logit + sum(a @ b for a, b in itertools.combinations(vectors, 2))


@pytest.mark.parametrize("tables_per_field", [1, 2])
@pytest.mark.parametrize("dense", [DENSE, []])
@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_a_family_equals_a_slow_loop(family, dense, tables_per_field):
    model = ClickModel(family, FIELDS, dense, **SIZES, tables_per_field=tables_per_field)
    inputs = clicks(dense=len(dense))
    w = weights(changed(model))
    expected = [
        slow_logit(family, w, ids, x.astype(float), tables_per_field)
        for ids, x in zip(inputs["ids"], inputs["dense"])
    ]
    np.testing.assert_allclose(model(inputs)[:, 0], expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("dense", [DENSE, []])
@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_replicas_are_models_of_the_next_seeds(family, dense):
    inputs = clicks(300, len(dense))  # more than a stretch of `product`
    together = ClickModel(family, FIELDS, dense, **SIZES, replicas=3, seed=5)
    logits = np.asarray(together(inputs))
    assert logits.shape == (300, 3)
    for r in range(3):
        single = ClickModel(family, FIELDS, dense, **SIZES, seed=5 + r)
        np.testing.assert_array_equal(logits[:, r], single(inputs)[:, 0])
        for whole, part in zip(together.get_weights(), single.get_weights(), strict=True):
            if whole.shape[0] != 3:  # a table: replicas side by side
                width = part.shape[1]
                np.testing.assert_array_equal(whole[:, r * width : (r + 1) * width], part)
            else:
                np.testing.assert_array_equal(whole[r], part[0])
    if family != "logistic_regression":  # which starts from 0
        assert not np.array_equal(logits[:, 0], logits[:, 1])


def test_weights_start_as_published():
    fields = [Field("user", 10_000), Field("ad", 400)]
    model = ClickModel("dlrm", fields, DENSE, rows=2500, width=32, bottom=(300,), top=(200,))
    table = np.asarray(model.tables[32].embeddings)
    for part, bound in ((table[:2500], 1 / 50), (table[2500:], 1 / 20)):
        assert np.abs(part).max() <= bound
        assert np.std(part) == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert np.std(model.bottom[1].kernel) == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert not np.any(model.bottom[1].bias)
    machine = ClickModel("factorisation_machine", fields, rows=2500, width=32)
    assert not np.any(machine.tables[1].embeddings)
    assert np.abs(machine.tables[32].embeddings).max() > 0.9 / 20
    kernels = [np.asarray(v).ravel()[:9] for v in model.trainable_variables if "kernel" in v.path]
    for a, b in itertools.combinations(kernels, 2):
        assert not np.allclose(a / np.abs(a).max(), b / np.abs(b).max())


def gradient(model, inputs):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(model(inputs, training=True)))
    return tape.gradient(total, [v.value for v in model.trainable_variables])


@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_padding_changes_nothing_and_is_never_trained(family):
    import tensorflow as tf

    model = changed(ClickModel(family, FIELDS, DENSE, **SIZES, tables_per_field=2))
    inputs = clicks()
    inputs["ids"][:, 1:4] = np.where(inputs["ids"][:, 1:4] == 0, -1, inputs["ids"][:, 1:4])
    before = np.asarray(model(inputs))
    slopes = gradient(model, inputs)
    first_of_genres = [30, 30 + 20 + 30 + 29]
    for variable, slope in zip(model.trainable_variables, slopes, strict=True):
        if "embed" in variable.path:
            slope = tf.convert_to_tensor(slope).numpy()
            assert not slope[first_of_genres].any() and slope.any()
            table = variable.numpy()
            table[first_of_genres] = 1e6
            variable.assign(table)
    np.testing.assert_array_equal(before, model(inputs))


def test_a_table_that_shrinks_by_a_row_parts_what_collided():
    ids = np.array([[1, -1, -1, -1, 0], [31, -1, -1, -1, 0]], np.int32)
    inputs = {"ids": ids, "dense": np.zeros((2, 0), np.float32)}
    one = changed(ClickModel("mlp", FIELDS, **SIZES))(inputs)
    two = changed(ClickModel("mlp", FIELDS, **SIZES, tables_per_field=2))(inputs)
    assert one[0, 0] == one[1, 0] and two[0, 0] != two[1, 0]


def test_ids_go_up_to_the_largest_int32():
    model = changed(ClickModel("mlp", [Field("hash", 2**31 - 1)], rows=30, width=4))
    ids = np.array([[2**31 - 2], [(2**31 - 2) % 30]], np.int32)
    logits = np.asarray(model({"ids": ids, "dense": np.zeros((2, 0), np.float32)}))
    assert logits[0] == logits[1]


@pytest.mark.parametrize("count", [2, 5, 9])
def test_pairwise_products_are_those_of_keras_rs(count):
    import tensorflow as tf

    keras_rs = pytest.importorskip("keras_rs")
    x = tf.constant(RNG.normal(size=(7, count, 3)).astype(np.float32))
    layer = keras_rs.layers.DotInteraction()
    slopes = tf.constant(RNG.normal(size=(7, count * (count - 1) // 2)).astype(np.float32))
    results = []
    for function in (pairwise_products, lambda x: layer(tf.unstack(x, axis=1))):
        with tf.GradientTape() as tape:
            tape.watch(x)
            pairs = function(x)
        results.append((pairs, tape.gradient(pairs, x, output_gradients=slopes)))
    for own, published in zip(*results, strict=True):
        np.testing.assert_allclose(own, published, rtol=1e-5, atol=1e-5)


def test_lookups_take_the_place_of_the_tables():
    model = changed(ClickModel("factorisation_machine", FIELDS, DENSE, **SIZES, replicas=2))
    inputs, seen = clicks(), {}

    def lookup(width):
        def vectors(rows):
            seen[width] = rows
            return np.asarray(model.tables[width].embeddings)[rows]

        return vectors

    logits = model.scores(inputs, True, {width: lookup(width) for width in model.tables})
    np.testing.assert_array_equal(logits, model(inputs))
    assert {width: rows.shape for width, rows in seen.items()} == {1: (N, 5), 4: (N, 5)}
    assert all(0 <= np.min(rows) and np.max(rows) < 30 + 20 + 30 for rows in seen.values())


@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_a_saved_model_is_the_same(family, tmp_path):
    model = changed(ClickModel(family, FIELDS, DENSE, **SIZES, replicas=2, seed=3))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    inputs = clicks()
    np.testing.assert_array_equal(model(inputs), again(inputs))


def test_dlrm_is_the_family_of_that_name():
    model = dlrm(FIELDS, DENSE, rows=30, width=4)
    assert isinstance(model, ClickModel) and model.size.family == "dlrm" and model.built


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"replicas": 0}, "replicas must be a whole number >= 1; got 0"),
        ({"seed": -1}, "seed must be a whole number >= 0; got -1"),
        ({"rows": 0}, "rows must be a whole number"),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ClickModel("dlrm", FIELDS, **wrong)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_a_training_s_graph_rounds_alike_everywhere(family, replicas):
    """No sum of a product is longer than Eigen's shortest cut, no root or reciprocal is taken."""
    import tensorflow as tf

    fields = [Field(f"field_{i}", 10**6) for i in range(26)]
    sizes = {"rows": 50, "bottom": (300,), "top": (300, 20), "replicas": replicas}
    model = ClickModel(family, fields, DENSE, **sizes)
    inputs = {"ids": tf.TensorSpec((600, 26), tf.int32), "dense": tf.TensorSpec((600, 2))}
    step = tf.function(lambda inputs: gradient(model, inputs), autograph=False)
    nodes = step.get_concrete_function(inputs).graph.get_operations()
    products = [node for node in nodes if "MatMul" in node.type]
    assert products
    for node in products:
        transposed = node.get_attr("adj_x" if "Batch" in node.type else "transpose_a")
        assert node.inputs[0].shape[-2 if transposed else -1] <= 256
    assert not {node.type for node in nodes} & {"Rsqrt", "Reciprocal", "Inv", "Sqrt", "Einsum"}

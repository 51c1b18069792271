"""Counts of click models: by hand, against the real variables and the products of the graph."""

import numpy as np
import pytest

from lib.models.click_counts import PARTS, Counts, click_counts
from lib.models.click_model import ClickModel
from lib.models.click_size import CLICK_FAMILIES, ClickSize, Field

FIELDS = [Field("user", 1000), Field("genres", 20, 3), Field("ad", 50)]


def test_a_dlrm_by_hand():
    size = ClickSize("dlrm", FIELDS, ["age", "hour"], rows=100, width=4, bottom=(8,), top=(6,))
    got = click_counts(size, batch=10)
    rows, pairs = 100 + 20 + 50, 4 * 3 // 2
    top = (pairs + 4 + 1) * 6 + 7
    assert got.parameters.tolist() == [rows * 4, 3 * 8 + 9 * 4, 0, top]
    forward = [3 * 4, 2 * (2 * 8 + 8 * 4), 2 * pairs * 4, 2 * ((pairs + 4) * 6 + 6)]
    assert got.forward_flops.tolist() == forward
    assert got.training_flops.tolist() == [3 * x for x in forward]
    # Floats: 5 ids and rows of 4; inputs and outputs of the layers; a tenth of the weights.
    assert (got.serving_bytes / 4).tolist() == pytest.approx(
        [5 + 5 * 4, 6.0 + 2 + 8 + 8 + 4, 16 + pairs, top / 10 + 10 + 6 + 6 + 1]
    )
    assert (got.training_bytes / 4).tolist() == pytest.approx(
        [
            5 + 5 * (5 * 4 + 2),
            8 * 6.0 + 3 * (2 + 8) + 2 * (8 + 4),
            3 * 16 + 2 * pairs,
            8 * top / 10 + 3 * (10 + 6) + 2 * (6 + 1),
        ]
    )


PART_OF = {
    **{"embed": "embeddings", "bottom": "bottom", "top": "top", "linear": "top"},
    **{"cross": "interaction", "factors": "interaction"},
}


@pytest.mark.parametrize("dense", [("age", "hour"), ()])
@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_parameters_are_those_of_the_real_variables(family, dense):
    sizes = {"rows": 100, "width": 4, "tables_per_field": 2}
    model = ClickModel(family, FIELDS, dense, **sizes, replicas=2)
    counted = dict.fromkeys(PARTS, 0)
    for variable in model.trainable_variables:
        layer = next(name for name in variable.path.split("/") if name != family)
        counted[PART_OF[layer.split("_")[0]]] += int(np.prod(variable.shape)) // 2
    got = click_counts(model)
    assert got.parameters.to_dict() == counted
    assert got.columns.tolist() == list(Counts._fields)
    assert click_counts(model.get_config()).equals(got) and click_counts(model.size).equals(got)


@pytest.mark.parametrize("family", ["mlp", "dlrm", "dcn_v2"])
def test_flops_are_those_of_the_graph_s_products(family):
    import tensorflow as tf

    model = ClickModel(family, FIELDS[:1] + FIELDS[2:], ["age", "hour"], rows=100, width=4)
    inputs = {"ids": tf.TensorSpec((8, 2), tf.int32), "dense": tf.TensorSpec((8, 2))}
    graph = tf.function(model, autograph=False).get_concrete_function(inputs).graph
    flops = 0
    for node in graph.get_operations():
        if "MatMul" in node.type:
            inner = node.inputs[0].shape[-2 if node.get_attr("adj_x") else -1]
            if inner == 1:  # a bias, written as a product
                continue
            flops += 2 * inner * node.outputs[0].shape.num_elements() // 8
    counts = click_counts(model).forward_flops
    if family == "dlrm":  # the whole matrix of 3 vectors for its 3 pairs
        counts["interaction"] *= 3
    if family == "dcn_v2":  # besides the products: times the first input, plus the layer's own
        counts["interaction"] -= 3 * 2 * model.size.concatenated
    assert counts.sum() == flops


def test_what_scaling_changes():
    base = click_counts(ClickSize("dlrm", FIELDS, ["age"], rows=100))
    more_rows = click_counts(ClickSize("dlrm", FIELDS, ["age"], rows=200))
    assert more_rows.parameters["embeddings"] == base.parameters["embeddings"] + 100 * 16
    assert more_rows.drop(columns="parameters").equals(base.drop(columns="parameters"))
    large = click_counts(ClickSize("dlrm", FIELDS, ["age"], rows=100), batch=10**9)
    assert (large.training_bytes <= base.training_bytes).all()


def test_a_batch_has_an_example():
    with pytest.raises(ValueError, match="batch must be >= 1; got 0"):
        click_counts(ClickSize("mlp", FIELDS), batch=0)

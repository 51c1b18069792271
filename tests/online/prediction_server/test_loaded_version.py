import numpy as np
import pytest

from lib.online.embedding_producer import AdParts, Catalogue
from lib.online.embedding_producer.producer import parts_path
from lib.online.prediction_server.inputs import read_inputs
from lib.online.prediction_server.loaded_version import LoadedVersion
from lib.online.prediction_server.protocol import RequestError
from lib.serving import engines
from tests.online.prediction_server.running import ADS, USER, World
from tests.online.served import make_model
from tests.small_log import FEATURES


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    world.publish(1)
    return world


def load(world, parts=True, catalogue=True, engine="onnxruntime", sizes=()):
    model = world.models[1]
    return LoadedVersion(
        1,
        0.0,
        model,
        engines.build(engine, model.graph()),
        AdParts(parts_path(world.parts, 1)) if parts else None,
        Catalogue(world.ads, FEATURES) if catalogue else None,
        sizes,
    )


def inputs(ad_ids, **raw):
    return read_inputs({**USER, "ad_id": np.asarray(ad_ids), **raw}, FEATURES, 100)


@pytest.mark.parametrize(("parts", "missing"), [(True, 0), (False, len(ADS))])
def test_scores_are_the_model_s_with_and_without_parts(world, parts, missing):
    scored = load(world, parts).scores(inputs(ADS))
    np.testing.assert_allclose(scored.scores, world.expected(1, ADS), rtol=0, atol=1e-5)
    assert scored.missing == missing and scored.scores.dtype == np.float32


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_padded_requests_have_the_same_scores(world, count):
    loaded = load(world, engine="openvino", sizes=(4, 8))
    scores = loaded.scores(inputs(ADS[:count])).scores
    np.testing.assert_allclose(scores, world.expected(1, ADS[:count]), rtol=0, atol=1e-5)


def test_an_ad_without_parts_and_features_is_named(world):
    with pytest.raises(RequestError, match="unknown ads 7; send their raw features") as error:
        load(world, catalogue=False).scores(inputs([105, 7]))
    assert error.value.kind == "unknown_ad"


def test_parts_of_another_version_are_refused(world):
    world.models[2] = make_model(seed=2)
    world.produce(2)
    model = world.models[1]
    engine = engines.build("onnxruntime", model.graph())
    with pytest.raises(ValueError, match="parts of version 2 with 8 units; expected version 1"):
        LoadedVersion(1, 0.0, model, engine, AdParts(parts_path(world.parts, 2)))


def test_a_warm_up_finds_an_engine_that_computes_another_model(world):
    good = load(world)
    good.warm_up((1, 4, 100))
    wrong = engines.build("onnxruntime", make_model(seed=9).graph())
    with pytest.raises(ValueError, match=r"version 1: onnxruntime .* gives .* where the model"):
        LoadedVersion(1, 0.0, world.models[1], wrong).warm_up((1, 4))


def test_scores_that_are_not_finite_are_no_answer(world):
    class Broken:
        def run(self, inputs):
            return np.full((len(inputs["ad_parts"]), 1), np.nan, np.float32)

    broken = LoadedVersion(1, 0.0, world.models[1], Broken(), None, Catalogue(world.ads, FEATURES))
    with pytest.raises(FloatingPointError, match="version 1 gave scores that are not finite"):
        broken.scores(inputs(ADS))

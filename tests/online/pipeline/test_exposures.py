import threading

import numpy as np
import pyarrow as pa
import pytest

from lib.logs.features import save_features
from lib.logs.reader import write_logs
from lib.online.embedding_producer.catalogue import Catalogue, add_ads
from lib.online.pipeline.exposures import (
    IMPRESSIONS_A_RECORD,
    Clock,
    SimulatedExposures,
    ads_of_log,
    run_replay,
)
from lib.online.pipeline.parameters import PipelineParameters
from lib.online.pipeline.streams import open_stream, prepare_stream
from lib.online.stream.records import IMPRESSIONS, RecordSchema, batch_of, decode
from lib.simulation.logs import visitors
from tests.small_log import FEATURES, make_log


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    return PipelineParameters(folder=tmp_path_factory.mktemp("p"), new_ads_share=0.1)


@pytest.fixture(scope="module")
def exposures(parameters):
    return SimulatedExposures(parameters, lambda *_: None)


def test_the_servers_decide_what_is_exposed(exposures):
    """Each visitor's candidates are asked for; the scores order what Pre-ranking sends on."""
    asked = []

    def ask(user, ads):
        asked.append((int(user["user_id"][0]), ads))
        return -ads.astype(np.float32)

    exposures.ask = ask
    table = exposures.table(160)
    rows = visitors(exposures, np.arange(160, 160 + IMPRESSIONS_A_RECORD), 0)
    assert sorted(user for user, _ in asked) == sorted({*exposures.matched.users[rows]})
    for user, ads in asked:
        row = int(np.flatnonzero(exposures.matched.users == user)[0])
        assert (ads < exposures.known).all()  # no server knows an ad that has not come yet
        known = exposures.matched.ads[row] < exposures.known
        np.testing.assert_array_equal(exposures.scores[row, known], -ads)
        assert (exposures.scores[row, ~known] == -np.inf).all()
    assert table.column("impression_id").to_numpy().min() == 160
    assert len(set(table.column("impression_id").to_pylist())) == IMPRESSIONS_A_RECORD


def test_without_an_answer_the_visit_runs_on_the_scores_before(exposures):
    exposures.ask = lambda *_: None
    before = exposures.scores.copy()
    assert exposures.table(320).equals(exposures.table(320))
    np.testing.assert_array_equal(exposures.scores, before)


def test_event_time_goes_on_with_the_impressions(exposures, parameters):
    first, second = exposures.table(0), exposures.table(16)
    assert max(first["timestamp"].to_pylist()) < min(second["timestamp"].to_pylist())
    seconds = exposures.moment(100) - exposures.moment(0)
    assert seconds == 100 * parameters.time_factor / parameters.impressions_per_second


def test_ads_come_as_a_catalogue_holds_them(exposures, tmp_path):
    features = exposures.world.features
    assert exposures.new_from == 720 and exposures.known == 720
    add_ads(tmp_path, "first", exposures.ads(0, 720))
    new = exposures.new_ads(50)
    add_ads(tmp_path, "new", new)
    catalogue = Catalogue(tmp_path, type(FEATURES)(features=features))
    assert len(catalogue) == 770 and not catalogue.refused
    exposures.known = 790
    assert len(exposures.new_ads(50)) == 10
    exposures.known = 800
    assert exposures.new_ads(50) is None
    exposures.known = 720


def test_the_ads_of_a_log(tmp_path):
    log = make_log()
    write_logs(tmp_path / "log.parquet", [log])
    table = ads_of_log(tmp_path / "log.parquet", FEATURES)
    ids = table["ad_id"].to_numpy()
    assert sorted(ids) == sorted({*log["ad_id"].to_pylist()})
    first = log["ad_id"].to_pylist().index(ids[3])
    assert table["bid"][3].as_py() == log["bid"][first].as_py()


def test_a_log_is_replayed_whole(tmp_path):
    write_logs(tmp_path / "log.parquet", [make_log()])
    save_features(tmp_path / "features.yaml", FEATURES)
    parameters = PipelineParameters(
        folder=tmp_path,
        logs=tmp_path / "log.parquet",
        features=tmp_path / "features.yaml",
        time_factor=1e6,
    )
    prepare_stream(parameters, RecordSchema.of(make_log().schema, FEATURES))
    stream = open_stream(parameters, writes=True)
    stop = threading.Event()
    worker = threading.Thread(target=run_replay, args=(parameters, stream, stop))
    worker.start()
    reader, ids = open_stream(parameters), []
    deadline = 200
    while len(ids) < 300 and deadline:
        deadline -= 1
        ids, parts = [], range(reader.partitions)
        for part in parts:
            for _, payload in reader.read(part, 0, most_bytes=1 << 24, timeout=0.1):
                record = decode(reader.schema, payload)
                if record.kind == IMPRESSIONS:
                    ids += batch_of(reader.schema, record)["impression_id"].to_pylist()
    stop.set()
    worker.join(20)
    assert not worker.is_alive() and sorted(ids) == list(range(1000, 1300))
    reader.close()
    stream.close()


def test_the_clock(tmp_path):
    clock = Clock(tmp_path / "clock.json", 100.0)
    clock.set(5000.0)
    other = Clock(tmp_path / "clock.json", 100.0)
    assert 5000 <= other() < 5000 + 100 * 5
    assert isinstance(pa.scalar(other()).as_py(), float)

import http.client
import json
import time
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from lib.logs.errors import LogError
from lib.logs.features import save_features
from lib.logs.reader import write_logs
from lib.online.exports.store import ExportStore
from lib.online.pipeline.parameters import PipelineParameters
from lib.online.pipeline.run import Page, commands, prepare
from lib.online.pipeline.supervisor import Supervisor
from tests.small_log import FEATURES, make_log


def make(folder, **changes):
    usual = {
        "impressions_per_second": 200,
        "time_factor": 100,
        "export_every_minutes": 10,
        "port": 0,
        "threads": 1,
        "hidden": [16, 8, 1],
    }
    return PipelineParameters(folder=folder, **usual | changes)


def test_a_folder_goes_on_with_the_same_parameters_alone(tmp_path):
    parameters = prepare(make(tmp_path))
    assert parameters.folder == tmp_path
    assert [*commands(parameters)] == [
        "embedding_producer",
        "trainer",
        "server_0",
        "server_1",
        "exposures",
    ]
    again = prepare(make(tmp_path, servers=3))
    assert len(commands(again)) == 6
    with pytest.raises(ValueError, match="another partitions, seed ran here"):
        prepare(make(tmp_path, partitions=3, seed=5))


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(LogError, match="no such features file"):
        prepare(make(tmp_path, logs=tmp_path / "no.parquet", features=tmp_path / "no.yaml"))


def test_a_log_is_made_ready_to_be_replayed(tmp_path):
    log = make_log()
    save_features(tmp_path / "features.yaml", FEATURES)
    given = {"logs": tmp_path / "log.parquet", "features": tmp_path / "features.yaml"}
    write_logs(given["logs"], [log])
    parameters = prepare(make(tmp_path / "mine", **given))
    assert parameters.ads_a_list == 7
    assert [file.name for file in parameters.catalogue.iterdir()] == ["ads.parquet"]
    texts = log.set_column(7, "ad_id", log["ad_id"].cast(pa.string()))
    write_logs(given["logs"], [texts])
    with pytest.raises(LogError, match="column 'ad_id' must be an integer; it is string"):
        prepare(make(tmp_path / "other", **given))


def ask(address, path):
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.slow
def test_all_of_it(tmp_path):
    """Processes, page, answers; who is killed comes back and goes on; all end in the end."""
    parameters = prepare(make(tmp_path))
    supervisor = Supervisor(commands(parameters), tmp_path / "logs")
    page = Page(parameters, supervisor)
    address = page.start()

    def until(condition, seconds=150):
        deadline = time.monotonic() + seconds
        while True:
            supervisor.step()
            status = json.loads(ask(address, "/status")[1] or "{}")
            if status and condition(status):
                return status
            assert time.monotonic() < deadline, (status, _logs(tmp_path))
            time.sleep(0.1)

    def serving(status, version):
        servers = [server for server in status["servers"].values() if server]
        told = status["told"].get("exposures", {})
        return (
            len(servers) == 2
            and min(server["version"] for server in servers) >= version
            and told.get("answered", 0) > 50
        )

    try:
        status = until(lambda status: serving(status, 1))
        assert ask(address, "/")[0] == 200
        killed = status["told"]["trainer"]["version"]
        for name in ("trainer", "server_0", "exposures", "embedding_producer"):
            assert supervisor.kill(name)
        until(lambda status: serving(status, killed + 1))
        assert {name for _, name, _ in supervisor.faults} == {
            "trainer",
            "server_0",
            "exposures",
            "embedding_producer",
        }
    finally:
        supervisor.stop()
        page.stop()
    assert not any(child["running"] for child in supervisor.status().values())
    store = ExportStore(parameters.exports)
    assert store.load(store.versions()[-1]).size_parameters[1:] == (16, 8, 1)


def _logs(folder):
    return {file.name: file.read_text()[-500:] for file in (folder / "logs").iterdir()}

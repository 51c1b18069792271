"""The prediction server under load at the base size: reloads, freshness, what HTTP costs, a soak.

The paper's base model, 52 features of ids embedded to 64 numbers each, requests of 1,500
candidates whose parts of the first layer lie ready. Server and client are processes of their own on
the same cores, so that the client's work counts against the server; they talk by the Open Inference
Protocol with binary tensors. New versions are written beforehand and moved into the store, as if
trainer and Embedding Producer were other machines.

Loads are open (Poisson arrivals, latency from the scheduled arrival), by MLPerf LoadGen where the
highest is searched for. The alternative is the same HTTP layer before `predict` of a plain Keras
model of the same size: the user repeated for each ad, all layers for each pair.
"""

import base64
import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow as pa
from tqdm import tqdm

from benchmarks.report import row, show
from lib.infra import machine
from lib.infra.settings import configure
from lib.logs.features import Features
from lib.models.feature_tables import feature_tables
from lib.online.embedding_producer import Catalogue, add_ads, produce
from lib.online.embedding_producer.producer import parts_path
from lib.online.exports import ExportStore
from lib.online.prediction_server import Options
from lib.serving.graphs.export import random_weights
from lib.serving.load.peak import peak_qps
from lib.serving.served_model import ServedModel

BASE, CANDIDATES = [3328, 1024, 256, 256, 256, 1], 1500
WIDTH = 64
FULL = {
    "buckets": 10_000,  # rows of a feature's table: 133 MB of tables
    "ads": 20_000,  # in the catalogue: 90 MB of parts
    "limit_ms": 100.0,  # of the p99
    "waiting_seconds": 30.0,  # in which requests always wait
    "share_requests": 300,
    "peak_seconds": 240.0,  # of a search for the highest load; 0: throughput instead
    "reloads": 12,
    "reload_pause": 20.0,  # quiet seconds between two of them
    "many": 100_000,  # requests that must not fail
    "few_candidates": 50,  # of each of these
    "many_reloads": 12,
    "soak_seconds": float(os.environ.get("BENCH_SOAK_SECONDS", 1800)),
}
TRIAL = FULL | {
    "buckets": 1000,
    "ads": 5000,
    "share_requests": 60,
    "waiting_seconds": 4.0,
    "peak_seconds": 0,
    "reloads": 2,
    "reload_pause": 4.0,
    "many": 2000,
    "many_reloads": 2,
    "soak_seconds": 10.0,
}
CONNECTIONS = 32  # of a client, so many requests at a time


# ---- a model, its store and its ads ----


class World:
    """Versions written ahead in a folder, and moved to where server and producer would look."""

    def __init__(self, folder, setup, rng):
        self.folder, self.setup, self.version = Path(folder), setup, 0
        each = BASE[0] // WIDTH // 2
        self.features = Features(
            features=[
                {
                    "name": f"{side}_{i}",
                    "side": side,
                    "kind": "sparse",
                    "buckets": setup["buckets"],
                    "width": WIDTH,
                }
                for side in ("user", "ad")
                for i in range(each)
            ]
        )
        self.ahead = ExportStore(self.folder / "ahead", keep=1000)
        self.store, self.parts, self.ads = (self.folder / n for n in ("store", "parts", "ads"))
        for path in (self.store, self.parts, self.ads):
            path.mkdir()
        columns = {f"ad_{i}": rng.integers(0, 1 << 40, setup["ads"]) for i in range(each)}
        add_ads(self.ads, "all", pa.table({"ad_id": np.arange(setup["ads"]), **columns}))
        self.catalogue = Catalogue(self.ads, self.features)

    def write(self, versions):
        """So many versions more, not yet where the server looks; their numbers."""
        (self.folder / "parts_ahead").mkdir(exist_ok=True)
        for _ in tqdm(range(versions), desc="versions", leave=False):
            self.version += 1
            rng = np.random.default_rng(self.version)
            tables = {
                width: rng.standard_normal((rows, width), np.float32)
                for width, rows in feature_tables(self.features.features).rows.items()
            }
            model = ServedModel(self.features, random_weights(BASE, self.version), tables)
            now = datetime.datetime.now(datetime.UTC).isoformat()
            self.ahead.publish(self.version, model, offset=0, time=now, metrics={})
            produce(model, self.version, self.catalogue, self.folder / "parts_ahead")
        return range(self.version - versions + 1, self.version + 1)

    def publish(self, version):
        """Move a version to where the server looks."""
        os.replace(
            parts_path(self.folder / "parts_ahead", version), parts_path(self.parts, version)
        )
        os.replace(self.folder / "ahead" / f"{version:08d}", self.store / f"{version:08d}")

    def retire(self, version):
        shutil.rmtree(self.store / f"{version:08d}", ignore_errors=True)
        parts_path(self.parts, version).unlink(missing_ok=True)

    def options(self, **changes):
        """Of a server in this world."""
        given = {"store": self.store, "parts": self.parts, "catalogue": self.ads, "port": 0}
        given |= {"workers": max(1, machine.cores() // 2), "threads": 2, "deadline_seconds": 30.0}
        given |= {"address_file": self.folder / "address"}
        return {name: str(x) if isinstance(x, Path) else x for name, x in (given | changes).items()}

    def body(self, rng, candidates=CANDIDATES):
        """(headers, body) of a request, by a client that nobody here wrote."""
        from tritonclient.http import InferenceServerClient, InferInput

        inputs = {f.name: rng.integers(0, 1 << 40, 1) for f in self.features.side("user")} | {
            "ad_id": rng.choice(self.setup["ads"], candidates, replace=False)
        }
        tensors = []
        for name, array in inputs.items():
            tensors.append(InferInput(name, list(array.shape), "INT64"))
            tensors[-1].set_data_from_numpy(array)
        body, length = InferenceServerClient.generate_request_body(tensors)
        return {"Inference-Header-Content-Length": str(length)}, bytes(body)


@contextlib.contextmanager
def server(options, kind="serve"):
    """Its process and address, from ready to stopped."""
    address = Path(options["address_file"])
    address.unlink(missing_ok=True)
    with open(address.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.online_server", kind, json.dumps(options)],
            stderr=log,
        )
    try:
        end = time.monotonic() + 120
        while not (address.exists() and _ready(address.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server did not start; see {log.name}")
            time.sleep(0.05)
        yield process, address.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(address):
    try:
        return get(address, "/v2/health/ready")[0] == 200
    except OSError:
        return False


def get(address, path):
    """(status, body) of a GET."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def metric(address, name):
    """A value of /metrics."""
    lines = get(address, "/metrics")[1].decode().splitlines()
    return float(next(x for x in lines if x.startswith(f"{name} ")).rsplit(" ", 1)[1])


# ---- the plain alternative ----


def plain(options):
    """A server as one would write it first: Starlette before Keras' `predict`."""
    import keras
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    from lib.models.mlp_model import mlp
    from lib.online.prediction_server.inputs import read_inputs
    from lib.online.prediction_server.protocol import HEADER_LENGTH, read_request, write_answer

    store = ExportStore(options["store"])
    version = store.versions()[-1]
    served = store.load(version)
    catalogue = Catalogue(options["catalogue"], served.features)
    model, one_at_a_time = mlp(BASE), threading.Lock()

    def answer(body, length):
        request = read_request(body, length)
        inputs = read_inputs(request.tensors, served.features, CANDIDATES)
        ads = served.embed("ad", catalogue.encoded(catalogue.find(inputs.ad_ids)[0]))
        users = np.broadcast_to(served.embed("user", inputs.user), (len(ads), BASE[0] // 2))
        pairs = np.concatenate([users, ads], axis=1)
        with one_at_a_time:
            scores = model.predict(pairs, batch_size=len(pairs), verbose=0)[:, 0]
        return write_answer("pre_ranking", version, request, scores)

    async def infer(request):
        body, length = await request.body(), request.headers.get(HEADER_LENGTH)
        content, headers = await run_in_threadpool(answer, body, length)
        return Response(content, headers=headers)

    async def ready(request):
        return Response()

    routes = [
        Route("/v2/models/pre_ranking/infer", infer, methods=["POST"]),
        Route("/v2/health/ready", ready),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes),
        port=0,
        http="httptools",
        loop="uvloop",
        log_level="warning",
        access_log=False,
    )
    listening = config.bind_socket()
    Path(options["address_file"]).write_text(f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert keras.backend.backend() == "tensorflow"
    uvicorn.Server(config).run([listening])


# ---- clients ----


class OverHttp:
    """A server as an engine (`lib.serving.engines.Engine`) that LoadGen's scenarios run."""

    precision, device, library, threads = "fp32", "CPU", "HTTP", 1

    def __init__(self, address, name, refused_seconds=0.0):
        self.address, self.name, self.refused_seconds = address, name, refused_seconds
        self._local = threading.local()

    def __reduce__(self):
        return type(self), (self.address, self.name, self.refused_seconds)

    def run(self, request):
        """The answer's (status, headers); 599 where there was none."""
        headers, body = request["headers"], request["body"]
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = HTTPConnection(urlsplit(self.address).netloc, timeout=60)
            self._local.connection = connection
        try:
            connection.request("POST", "/v2/models/pre_ranking/infer", body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            connection.close()
            return 599, b""
        if answer.status != 200:
            time.sleep(self.refused_seconds)  # of the limit: the load test counts it as late
        return answer.status, data


def requests_of(world, count=16, candidates=CANDIDATES):
    """Requests as LoadGen sends them."""
    rng = np.random.default_rng(5)
    return [dict(zip(("headers", "body"), world.body(rng, candidates))) for _ in range(count)]


def open_load(address, requests, qps, seconds, most=None):
    """Poisson arrivals for some seconds, or `most` of them.

    Returns: array [requests, 4]: scheduled time (time.time), latency in seconds, status, version.
    """
    rng, engine = np.random.default_rng(1), OverHttp(address, "open load")
    count = most or round(qps * seconds)
    due = time.time() + 0.5 + np.cumsum(rng.exponential(1 / qps, count))
    which = rng.integers(0, len(requests), count)

    def ask(i):
        status, data = engine.run(requests[which[i]])
        end = time.time()
        version = -1
        if status == 200:
            version = int(data[: data.index(b"}]")].split(b'"model_version":"')[1].split(b'"')[0])
        return due[i], end - due[i], status, version

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        futures = []
        for i in range(count):
            if (wait := due[i] - time.time()) > 0:
                time.sleep(wait)
            futures.append(pool.submit(ask, i))
        return np.array([future.result() for future in futures])


class Client:
    """`open_load` in a process of its own, meanwhile."""

    def __init__(self, address, requests, qps, seconds, most=None):
        self._folder = tempfile.TemporaryDirectory()
        self._found = Path(self._folder.name, "found.npy")
        given = Path(self._folder.name, "given.json")
        sent = [x | {"body": base64.b64encode(x["body"]).decode()} for x in requests]
        given.write_text(json.dumps([address, sent, qps, seconds, most]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.online_server", "load", str(given), str(self._found)]
        )

    @property
    def running(self):
        return self._process.poll() is None

    def result(self):
        with self._folder:
            if self._process.wait():
                raise RuntimeError("the client's process failed")
            return np.load(self._found)

    def stop(self):
        self._process.kill()
        self._process.wait()


# ---- what is measured ----


def share_of_protocol(world, address, count):
    """Row: what of a request's time at the client is neither the ads' parts nor the engine."""
    engine, requests = OverHttp(address, "one at a time"), requests_of(world)
    for request in requests:
        engine.run(request)
    stages = [f'prediction_stage_seconds_total{{stage="{name}"}}' for name in ("parts", "engine")]
    shares, total = [], []
    for turn in range(5):
        before = sum(metric(address, stage) for stage in stages)
        begin = time.perf_counter()
        for i in range(count // 5):
            assert engine.run(requests[(turn + i) % len(requests)])[0] == 200
        seconds = time.perf_counter() - begin
        computed = sum(metric(address, stage) for stage in stages) - before
        shares.append(1 - computed / seconds)
        total.append(1e3 * seconds / (count // 5))
    share = row(f"HTTP and protocol of a request, {CANDIDATES:,} candidates", "share", shares, 0.2)
    return [share, row(f"a request alone, {CANDIDATES:,} candidates", "ms", total)]


def peak(world, options, kind, seconds):
    """`PeakQps` of a server over HTTP."""
    limit_ms = world.setup["limit_ms"]
    with server(options, kind) as (_, address):
        return peak_qps(
            OverHttp(address, kind, limit_ms / 1e3),
            requests_of(world),
            limit_ms,
            workers=CONNECTIONS,
            max_seconds=seconds,
            repeats=3,
        )


def throughput(world, options, kind, seconds):
    """Requests/s of a server whose every core always has a request waiting."""
    requests = requests_of(world)
    with server(options, kind) as (_, address), ThreadPoolExecutor(4) as pool:
        engine = OverHttp(address, kind)
        list(pool.map(engine.run, requests))
        end = time.monotonic() + seconds

        def ask(first):
            done = 0
            while time.monotonic() < end:
                assert engine.run(requests[(first + done) % len(requests)])[0] == 200
                done += 1
            return done

        return sum(pool.map(ask, range(4))) / seconds


def peak_rows(world, options):
    """(rows: requests/s over HTTP, beside the plain server's; the highest load).

    Where the plain one cannot meet the limit, it is held to what it does with requests always
    waiting, which is more than it could answer in time at any limit.
    """
    limit_ms, seconds = world.setup["limit_ms"], world.setup["peak_seconds"]
    waiting = {
        kind: throughput(world, options, kind, world.setup["waiting_seconds"])
        for kind in ("serve", "plain")
    }
    name = "plain Keras predict"
    ratio = waiting["serve"] / waiting["plain"]
    rows = [
        row(
            "requests/s over HTTP, requests always waiting",
            "1/s",
            waiting["serve"],
            baseline=waiting["plain"],
            name=name,
        ),
        row(f"that over {name}", "ratio", ratio),
    ]
    if not seconds:
        return rows, waiting["serve"]
    ours, base = peak(world, options, "serve", seconds), 0
    try:
        base = peak(world, options, "plain", seconds).qps
    except RuntimeError as error:
        print(error, flush=True)  # no load passed
    how = name if base else f"{name} with requests always waiting"
    base = base or waiting["plain"]
    figure = f"requests/s over HTTP at p99 {limit_ms:g} ms"
    interval = {"low": ours.qps_low, "high": ours.qps_high}
    rows += [
        row(figure, "1/s", ours.qps, baseline=base, name=how, **interval),
        row(f"that over {how}", "ratio", ours.qps / base, 5, "higher"),
        row("p99 at that load", "ms", ours.p99_ms),
    ]
    return rows, ours.qps


def reloads(world, address, qps, versions, pause, candidates=CANDIDATES, most=None):
    """New versions under load.

    Returns: (requests as of `open_load`; begin and end of each reload, time.time, [reloads, 2]).
    """
    seconds = pause * (len(versions) + 1) + 8 * len(versions)
    client = Client(address, requests_of(world, candidates=candidates), qps, seconds, most)
    spans, rng = [], np.random.default_rng(3)
    try:
        time.sleep(2)
        for version in versions:
            # At another moment of the server's poll each time.
            time.sleep(pause + rng.uniform(0, 5))
            if not client.running:
                break
            begin = time.time()
            world.publish(version)
            while metric(address, "prediction_model_version") != version:
                time.sleep(0.05)
                if time.time() > begin + 120:
                    raise RuntimeError(f"version {version} was not taken in 120 s")
            spans.append((begin, time.time()))
            world.retire(version - 2)
        return client.result(), np.array(spans)
    finally:
        client.stop()


def p99_ms(latencies):
    return 1e3 * float(np.quantile(latencies, 0.99, method="higher"))


def reload_rows(found, spans):
    """Rows: p99 during reloads over p99 in quiet, and from export to serving."""
    inside = ((spans[:, :1] <= found[:, 0]) & (found[:, 0] < spans[:, 1:])).any(axis=0)
    latencies = found[:, 1]
    quiet, during = p99_ms(latencies[~inside]), p99_ms(latencies[inside])
    rng = np.random.default_rng(0)
    ratios = [
        p99_ms(rng.choice(latencies[inside], inside.sum()))
        / p99_ms(rng.choice(latencies[~inside], (~inside).sum()))
        for _ in range(500)
    ]
    low, high = np.quantile(ratios, [0.025, 0.975])
    figure = (
        f"p99 during a reload over p99 in quiet ({inside.sum()} and {(~inside).sum()} requests)"
    )
    return [
        row(figure, "ratio", during / quiet, 1.5, low=low, high=high),
        row("p99 in quiet", "ms", quiet),
        row("p99 during a reload", "ms", during),
        row("from export to serving, poll every 5 s", "s", spans[:, 1] - spans[:, 0], 10),
    ]


def never_failed(found, what):
    """Rows: requests that failed, of how many."""
    failed = (found[:, 2] != 200).sum()
    return [row(f"failed of {len(found):,} requests, {what}", "requests", failed, 0)]


def soak(world, process, address, qps, seconds):
    """Rows: memory of its own and p99, of the last third over the first."""
    client = Client(address, requests_of(world), qps, seconds)
    memory, server_process = [], psutil.Process(process.pid)
    try:
        while client.running:
            memory.append((time.time(), server_process.memory_full_info().uss / 1e6))
            time.sleep(1)
        found = client.result()
    finally:
        client.stop()
    third = len(found) // 3
    resident = np.array(memory)[:, 1]
    length = len(resident) // 3
    ratio = p99_ms(found[-third:, 1]) / p99_ms(found[:third, 1])
    growth = np.median(resident[-length:]) / np.median(resident[:length])
    minutes = f"{seconds / 60:g} minutes at {qps:.0f} requests/s"
    return [
        row(f"soak, {minutes}: p99, last third over first", "ratio", ratio, 1.2),
        row(f"soak, {minutes}: memory, last third over first", "ratio", growth, 1.05),
        *never_failed(found, "soak"),
    ]


def main(setup=FULL):
    """Prints the table, returns the rows of the report."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder, setup, np.random.default_rng(0))
        world.publish(*world.write(1))
        options = world.options()
        print("highest load", flush=True)
        rows, peak_load = peak_rows(world, options)
        load = 0.5 * peak_load
        show(rows)
        with server(options) as (process, address):
            rows += share_of_protocol(world, address, setup["share_requests"])
            print("reloads", flush=True)
            versions = world.write(setup["reloads"])
            found, spans = reloads(world, address, load, versions, setup["reload_pause"])
            rows += reload_rows(found, spans) + never_failed(found, f"{CANDIDATES:,} candidates")
            show(rows)
            few, versions = setup["few_candidates"], world.write(setup["many_reloads"])
            qps = 200.0
            pause = setup["many"] / qps / (len(versions) + 1) - 5
            found, _ = reloads(world, address, qps, versions, max(pause, 0.1), few, setup["many"])
            rows += never_failed(found, f"{few} candidates, {setup['many_reloads']} reloads")
            print("soak", flush=True)
            rows += soak(world, process, address, 0.7 * peak_load, setup["soak_seconds"])
    show(rows)
    return rows


def _child(kind, *arguments):
    if kind == "serve":
        from lib.online.prediction_server import serve

        serve(Options.model_validate_json(arguments[0]))
    elif kind == "plain":
        plain(json.loads(arguments[0]))
    else:
        given, found = arguments
        address, sent, qps, seconds, most = json.loads(Path(given).read_text())
        requests = [x | {"body": base64.b64decode(x["body"])} for x in sent]
        np.save(found, open_load(address, requests, qps, seconds, most))


if __name__ == "__main__":
    configure()
    if sys.argv[1:] in ([], ["trial"]):
        main(TRIAL if sys.argv[1:] else FULL)
    else:
        _child(*sys.argv[1:])

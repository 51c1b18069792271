"""Faults of a running pipeline: kill -9 of its processes at random moments, damaged exports.

The pipeline runs as processes, fast; one of them is killed after a random time, again and again,
never both servers at once. Meanwhile published versions are torn, altered or removed before servers
read them, and a client asks the servers without a pause. In the end the exposures are stopped, the
trainer reaches the end of the stream, and what it has is compared with one training in this process
that nothing disturbed, on the same stream: weights, counts, every published model. Every answer's
scores are compared with those of the version that it names.
"""

import collections
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.report import row, show
from lib.infra.settings import configure

KILLS = {"trainer": 25, "server": 25, "exposures": 25, "embedding_producer": 5}
DAMAGES = ("torn", "altered", "missing")
SEED = 0
PARAMETERS = {
    "impressions_per_second": 150,
    "time_factor": 200,
    "export_every_minutes": 20,
    "hidden": [32, 8, 1],
    "threads": 1,
    "port": 0,
}
LONGEST_PAUSE = 6.0  # seconds between two kills


class Asking(threading.Thread):
    """A client that asks for scores without a pause, and keeps what was answered."""

    def __init__(self, parameters, exposures):
        super().__init__(daemon=True)
        from lib.online.pipeline.client import PredictionClient, addresses_in

        files = parameters.address_files()
        self.client = PredictionClient(lambda: addresses_in(files), timeout=5.0)
        self.exposures, self.end = exposures, threading.Event()
        self.answers, self.failures = [], []

    def run(self):
        matched, world = self.exposures.matched, self.exposures.world
        rng = np.random.default_rng(SEED)
        while not self.end.is_set():
            row = rng.integers(len(matched.users))
            ads = matched.ads[row][:40].astype(np.int64)
            ads = ads[ads < self.exposures.new_from]
            user = world.user_features(matched.users[row : row + 1])
            try:
                scores, version = self.client.scores(user, ads)
                self.answers.append((row, ads, scores, int(version)))
            except (OSError, ValueError) as error:
                if self.client.answered:
                    self.failures.append(f"{time.strftime('%X')} {error}")
            self.end.wait(0.01)
        self.client.close()


class Damaging(threading.Thread):
    """Harms every so many published versions as soon as they are there."""

    def __init__(self, store, every=7):
        super().__init__(daemon=True)
        self.store, self.every, self.end = store, every, threading.Event()
        self.done = {}
        self.models = {}  # version -> model, of those read while they were whole

    def run(self):
        from lib.online.exports.store import WEIGHTS

        seen, last = set(), None
        while not self.end.is_set():
            for version in self.store.versions():
                if version in seen:
                    continue
                seen.add(version)
                try:
                    last = (version, self.store.load(version, last))
                    self.models[version] = last[1]
                except ValueError:
                    continue
                if version % self.every:
                    continue
                kind = DAMAGES[len(self.done) % len(DAMAGES)]
                path = Path(self.store.root, f"{version:08d}", WEIGHTS)
                if kind == "torn":
                    os.truncate(path, path.stat().st_size // 2)
                elif kind == "missing":
                    path.unlink()
                else:
                    with open(path, "r+b") as file:
                        file.seek(path.stat().st_size // 2)
                        file.write(b"\xff\xff")
                self.done[version] = kind
            self.end.wait(0.01)


def undisturbed(parameters, offset, folder):
    """One training of the same stream up to `offset`; (learner, store, impressions)."""
    from lib.losses import ARFLoss
    from lib.models.scorer import Scorer
    from lib.online.exports.store import ExportStore
    from lib.online.pipeline.streams import open_stream, source_of
    from lib.online.trainer import ExportPlan, train_online
    from lib.training.checkpoint import Checkpoint
    from lib.training.learner import Learner

    stream = open_stream(parameters)
    scorer = Scorer(stream.schema.features, parameters.hidden, "mlp", parameters.seed)
    learner = Learner(scorer, ARFLoss(2, 2), parameters.learning_rate)
    source = source_of(parameters, stream, folder / "dead_letters.jsonl", stop=offset)
    store = ExportStore(folder / "exports", keep=10_000)
    report = train_online(
        learner,
        source,
        checkpoint=Checkpoint(folder / "checkpoint.npz", 10_000),
        exports=store,
        plan=ExportPlan(parameters.export_every_minutes),
        # The killed trainer may have exported at the first impressions behind its last checkpoint.
        export_at_end=True,
    )
    stream.close()
    return learner, store, report.impressions


def stream_ids(parameters):
    """Every impression id that lies in the stream, in the order of its partitions."""
    from lib.online.pipeline.streams import open_stream
    from lib.online.stream.records import IMPRESSIONS, batch_of, decode

    stream, ids = open_stream(parameters), []
    for partition in range(stream.partitions):
        offset = stream.first(partition)
        while found := stream.read(partition, offset, most_bytes=1 << 24):
            offset = found[-1][0] + 1
            for _, payload in found:
                record = decode(stream.schema, payload)
                if record.kind == IMPRESSIONS:
                    batch = batch_of(stream.schema, record)
                    ids += batch.column("impression_id").to_pylist()
    stream.close()
    return ids


def run(kills=None, folder=None) -> dict:
    """The table of faults as a dict of counts; see the module."""
    from lib.online.exports.store import ExportStore
    from lib.online.pipeline.exposures import SimulatedExposures
    from lib.online.pipeline.parameters import PipelineParameters
    from lib.online.pipeline.run import commands, prepare
    from lib.online.pipeline.status import read_all
    from lib.online.pipeline.supervisor import Supervisor

    kills = dict(kills or KILLS)
    folder = Path(folder or tempfile.mkdtemp(prefix="faults-"))
    parameters = prepare(PipelineParameters(folder=folder / "pipeline", **PARAMETERS))
    exposures = SimulatedExposures(parameters, lambda *_: None)
    supervisor = Supervisor(commands(parameters), folder / "logs")
    store = ExportStore(parameters.exports)
    asking, damaging = Asking(parameters, exposures), Damaging(store)
    rng = np.random.default_rng(SEED)
    plan = [name for name, count in kills.items() for _ in range(count)]
    rng.shuffle(plan)
    killed = collections.Counter()

    def steps(seconds, until=lambda: False):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not until():
            supervisor.step()
            time.sleep(0.02)
        return until()

    def serving():
        return asking.client.answered > 20

    try:
        damaging.start()
        asking.start()
        if not steps(240, serving):
            raise RuntimeError(f"the pipeline did not begin to serve; see {folder / 'logs'}")
        for number, name in enumerate(tqdm(plan, desc="faults", unit="kill")):
            steps(rng.uniform(0.2, LONGEST_PAUSE))
            if name == "server":
                name = f"server_{number % 2}"
                other = f"server_{1 - number % 2}"
                # The other one must be able to answer, or requests would fail for a reason.
                steps(60, lambda other=other: _answers(parameters, other))
            if steps(60, lambda name=name: supervisor.children[name].running):
                killed[name.split("_")[0] if "server" in name else name] += supervisor.kill(name)
        supervisor.step()
        steps(5)
        supervisor.end("exposures")
        counted = collections.deque(maxlen=4)

        def quiet():
            """Whether the trainer runs and has had nothing to do for some seconds."""
            time.sleep(2)
            told = read_all(parameters.status).get("trainer", {})
            child = supervisor.children["trainer"]
            alive = child.running and told.get("process") == child.process.pid
            counted.append(told.get("impressions") if alive else None)
            return alive and len(counted) == 4 and len(set(counted)) == 1

        steps(180, quiet)
    finally:
        asking.end.set()
        damaging.end.set()
        supervisor.stop()
        asking.join(10)
        damaging.join(10)
    with np.load(parameters.checkpoint) as held:
        offset = json.loads(str(held["offset"]))
        trained = int(held["counts"][1])
        variables = [held[f"variable_{i}"] for i in range(sum("variable" in n for n in held.files))]
    learner, whole, impressions = undisturbed(parameters, offset, folder / "undisturbed")
    ids = stream_ids(parameters)
    same = [
        np.array_equal(mine.numpy(), theirs)
        for mine, theirs in zip(learner.variables, variables, strict=True)
    ]
    published = {v: whole.manifest(v).model_digest for v in whole.versions()}
    held = {version: model.digest for version, model in damaging.models.items()}
    mixed = _mixed(asking.answers, damaging.models, exposures)
    result = {
        "killed": dict(killed),
        "damaged exports": dict(collections.Counter(damaging.done.values())),
        "impressions in the stream": len(ids),
        "repeated in the stream": len(ids) - len(set(ids)),
        "missing in the stream": max(ids) + 1 - len(set(ids)),
        "trained on": trained,
        "trained on, undisturbed": impressions,
        "variables that differ": len(same) - sum(same),
        "versions published": len(held),
        "versions that differ": sum(
            digest != published.get(version) for version, digest in held.items()
        ),
        "requests answered": len(asking.answers),
        "requests failed": len(asking.failures),
        "first failures": asking.failures[:3],
        "passed over to the other server": asking.client.passed_over,
        "answers compared": mixed[1],
        "answers of mixed versions": mixed[0],
        "versions that answered": len({version for *_, version in asking.answers}),
    }
    if not (result["variables that differ"] or result["requests failed"]):
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _answers(parameters, name):
    import http.client
    from urllib.parse import urlsplit

    try:
        parts = urlsplit((parameters.folder / f"{name}.address").read_text())
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=1)
        connection.request("GET", "/v2/models/pre_ranking/ready")
        status = connection.getresponse().status
        connection.close()
        return status == 200
    except (OSError, http.client.HTTPException):
        return False


def _mixed(answers, models, exposures):
    """(answers whose scores are not those of their version, answers that could be compared)."""
    from lib.logs.encoding import encode

    wrong = compared = 0
    parts = {}
    for row_, ads, scores, version in answers[:: max(1, len(answers) // 20_000)]:
        model = models.get(version)
        if model is None:
            continue
        key = version, row_
        if key not in parts:
            world, features = exposures.world, model.features

            def encoded(side, raw, features=features):
                return {f.name: encode(f, raw[f.name]) for f in features.side(side)}

            user = world.user_features(exposures.matched.users[row_ : row_ + 1])
            vectors = model.embed("ad", encoded("ad", world.ad_features(ads)))
            parts[key] = model.scores(
                model.embed("user", encoded("user", user))[0], model.ad_parts(vectors)
            )
        compared += 1
        wrong += not np.allclose(scores, parts[key], rtol=1e-3, atol=1e-3)
    return wrong, compared


def rows(result: dict) -> list[dict]:
    """As `benchmarks.report.row` gives them."""
    kills = sum(result["killed"].values())
    said = ", ".join(f"{name} {count}" for name, count in sorted(result["killed"].items()))
    return [
        row(f"kill -9 at random moments ({said})", "kills", kills, target=80, better="higher"),
        row(
            f"variables that differ from an undisturbed training, {result['trained on']:,} "
            "impressions",
            "variables",
            result["variables that differ"],
            target=0,
        ),
        row(
            "impressions lost or written twice, of "
            f"{result['impressions in the stream']:,} in the stream",
            "impressions",
            result["repeated in the stream"] + result["missing in the stream"],
            target=0,
        ),
        row(
            "impressions trained on beside those of an undisturbed training",
            "impressions",
            abs(result["trained on"] - result["trained on, undisturbed"]),
            target=0,
        ),
        row(
            f"published models that differ from an undisturbed training's, of "
            f"{result['versions published']}",
            "models",
            result["versions that differ"],
            target=0,
        ),
        row(
            f"requests that failed, of {result['requests answered']:,} "
            f"({result['passed over to the other server']} were passed on to the other server)",
            "requests",
            result["requests failed"],
            target=0,
        ),
        row(
            f"answers that are not of one version, of {result['answers compared']:,} compared",
            "answers",
            result["answers of mixed versions"],
            target=0,
        ),
    ]


def main() -> list[dict]:
    """The table of faults."""
    configure()
    result = run()
    print(json.dumps(result, indent=1))
    found = rows(result)
    show(found)
    return found


if __name__ == "__main__":
    main()

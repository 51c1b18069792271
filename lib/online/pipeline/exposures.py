"""What happens on the platform: the simulated system in operation, or a log replayed.

In the simulated system each visit's Pre-ranking is what a prediction server says of the user's
candidates: the model that is trained on the stream decides what the stream holds next.
"""

import json
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.infra.files import write_json
from lib.logs.errors import LogError
from lib.logs.features import Features, load_features
from lib.logs.log_files import LogFiles, found_value, timestamps
from lib.online.embedding_producer.catalogue import AD_ID, add_ads
from lib.online.pipeline.client import NoAnswer, PredictionClient, addresses_in
from lib.online.pipeline.parameters import PipelineParameters
from lib.online.pipeline.status import Status
from lib.online.stream.producers import Producer
from lib.simulation.cascade import System
from lib.simulation.logs import START, sample_logs, visitors
from lib.simulation.matching import match
from lib.simulation.world import World

IMPRESSIONS_A_RECORD = 16
NEW_ADS_SECONDS = 10.0  # between two files of new ads
ASKED_OF_A_RECORD = 2  # impressions of a replayed record whose ads the servers are asked for


class Clock:
    """Simulated time: a file with a moment of it and of this machine's clock.

    Args: path: of the file; factor: simulated seconds a second.
    """

    def __init__(self, path, factor: float):
        self.path, self.factor, self._read, self._held = path, factor, 0.0, None

    def set(self, simulated: float) -> None:
        """It is `simulated` (seconds since 1970) now."""
        write_json(self.path, {"simulated": simulated, "here": time.time()})

    def __call__(self) -> float:
        """Now, simulated seconds since 1970; this machine's time before it was ever set."""
        if time.monotonic() - self._read > 1.0:
            try:
                self._held = json.loads(self.path.read_text())
                self._read = time.monotonic()
            except (OSError, ValueError):
                pass
        if self._held is None:
            return time.time()
        return self._held["simulated"] + self.factor * (time.time() - self._held["here"])


class SimulatedExposures:
    """The simulated system; `table` gives the impressions of a record as they happen.

    Args: parameters; ask: callable (user's features, ad ids) -> scores, or None where no server
      answers: the visit then runs on the scores of the user's visit before.
    """

    def __init__(self, parameters: PipelineParameters, ask: Callable):
        self.parameters, self.ask = parameters, ask
        self.world = World(parameters.world_parameters())
        self.matched = match(self.world)
        ads = self.world.parameters.ads
        # Ads come in the order of their numbers; the others are there from the beginning.
        self.new_from = ads - round(ads * parameters.new_ads_share)
        self.known = self.new_from
        self.scores = np.random.default_rng(parameters.seed).random(
            self.matched.ads.shape, np.float32
        )
        self.rate = parameters.impressions_per_second / parameters.time_factor

    def table(self, first: int) -> pa.Table:
        """Impressions `first` and the following of a record."""
        numbers = np.arange(first, first + IMPRESSIONS_A_RECORD)
        system = System(self.matched, self.scores)
        for row in np.unique(visitors(system, numbers, self.parameters.seed)):
            self._ask_for(row)
        (table,) = sample_logs(
            system,
            len(numbers),
            seed=self.parameters.seed,
            first_impression=first,
            impressions_per_second=self.rate,
            impressions_per_table=len(numbers),
        )
        return table

    def moment(self, number: int) -> float:
        """Simulated time of an impression, seconds since 1970."""
        return START.timestamp() + number / self.rate

    def ads(self, low: int, high: int) -> pa.Table:
        """Ads `low` to `high` - 1 with their features, as a catalogue holds them."""
        numbers = np.arange(low, high)
        features = {f["name"]: f for f in self.world.features if f["side"] == "ad"}
        columns = {AD_ID: pa.array(numbers.astype(np.int64))}
        for name, values in self.world.ad_features(numbers).items():
            if name != AD_ID:
                wide = features[name]["kind"] == "dense" and features[name]["width"] > 1
                columns[name] = pa.array(list(values) if wide else values)
        return pa.table(columns)

    def new_ads(self, count: int) -> pa.Table | None:
        """The next ads that come; None where all are there."""
        low, high = self.known, min(self.known + count, self.world.parameters.ads)
        return self.ads(low, high) if low < high else None

    def _ask_for(self, row):
        ads, user = self.matched.ads[row], self.matched.users[row]
        there = ads < self.known
        answer = self.ask(self.world.user_features(np.array([user])), ads[there])
        if answer is not None:
            self.scores[row, there] = answer
            self.scores[row, ~there] = -np.inf


def run_simulated(parameters: PipelineParameters, stream, stop) -> None:
    """Expose at the parameters' rate until `stop` (a threading.Event) is set."""
    status, clock = _status(parameters), Clock(parameters.clock, parameters.time_factor)
    client = _client(parameters)
    exposures = SimulatedExposures(parameters, lambda user, ads: _ask(client, user, ads))
    producer = Producer(stream, "exposures", mark_seconds=10 * parameters.time_factor)
    every = IMPRESSIONS_A_RECORD / parameters.impressions_per_second
    first = begin = producer.next_record
    exposures.known = max(exposures.new_from, _known(parameters))
    started, added, revenue, count = time.monotonic(), time.monotonic(), 0.0, 0
    while not stop.is_set():
        table = exposures.table(producer.next_record * IMPRESSIONS_A_RECORD)
        moment = exposures.moment((producer.next_record + 1) * IMPRESSIONS_A_RECORD)
        producer.write(table)
        clock.set(moment)
        shown = pc.if_else(table["exposed"], table["ecpm"], pa.scalar(0, pa.float32()))
        revenue, count = revenue + pc.sum(shown).as_py(), count + IMPRESSIONS_A_RECORD
        if time.monotonic() - added > NEW_ADS_SECONDS:
            added = time.monotonic()
            new = exposures.new_ads(10)
            if new is not None:
                add_ads(parameters.catalogue, f"new_{exposures.known:09d}", new)
                exposures.known += len(new)
        status.tell(
            {
                "impressions": producer.next_record * IMPRESSIONS_A_RECORD,
                "revenue_per_1000": revenue / count,  # an eCPM is of 1,000 exposures
                "ads": exposures.known,
                **_about(client),
            }
        )
        first += 1
        stop.wait(max(0.0, started + (first - begin) * every - time.monotonic()))
    producer.flush()
    client.close()


def run_replay(parameters: PipelineParameters, stream, stop) -> None:
    """Replay the log at `time_factor` times its own speed; ask the servers for some of it."""
    status, clock = _status(parameters), Clock(parameters.clock, parameters.time_factor)
    client, features = _client(parameters), load_features(parameters.features)
    producer = Producer(stream, "replay", mark_seconds=10 * parameters.time_factor)
    origin = started = None
    for number, (_, table, starts) in enumerate(
        LogFiles(parameters.logs, features, ad_id_column(features)).blocks(IMPRESSIONS_A_RECORD)
    ):
        if number < producer.next_record:
            continue
        moment = timestamps(table)[-1].astype(np.int64) / 1e6
        if origin is None:
            origin, started = moment, time.monotonic()
        due = started + (moment - origin) / parameters.time_factor
        if stop.wait(max(0.0, due - time.monotonic())):
            break
        ends = [*starts[1:], len(table)]
        for low, high in list(zip(starts, ends))[:ASKED_OF_A_RECORD]:
            rows = table.slice(low, high - low)
            _ask(client, _user(rows, features), rows[AD_ID].to_numpy())
        producer.write(table)
        clock.set(moment)
        status.tell({"impressions": producer.next_record * IMPRESSIONS_A_RECORD, **_about(client)})
    else:
        producer.finish()
    producer.flush()
    stop.wait()
    client.close()


def ads_of_log(path, features: Features) -> pa.Table:
    """Each ad of a log once, with the features of its first row."""
    files = LogFiles(path, features, ad_id_column(features))
    names = [AD_ID, *(f.name for f in features.side("ad") if f.name != AD_ID)]
    seen, parts = np.empty(0, np.int64), []
    for _, table, _ in files.blocks(1 << 14):
        ids = table[AD_ID].to_numpy().astype(np.int64)
        unique, first = np.unique(ids, return_index=True)
        new = first[~np.isin(unique, seen)]
        seen = np.concatenate([seen, ids[new]])
        parts.append(table.select(names).take(np.sort(new)))
    return pa.concat_tables(parts, promote_options="permissive")


def check_ad_ids(log: LogFiles) -> None:
    """LogError unless the ads of a log have integers as ids, which servers are asked by."""
    kind = log.schema.field(AD_ID).type
    if not pa.types.is_integer(kind):
        raise LogError(f"{log.files[0]}: column {AD_ID!r} must be an integer; it is {kind}")


def ad_id_column(features: Features) -> tuple[str, ...]:
    """The column to read of a log beside the features, so that its ads have ids."""
    return () if AD_ID in {f.name for f in features.features} else (AD_ID,)


def _user(rows, features):
    """Raw user features of an impression, [1, ...] each."""
    found = {}
    for feature in features.side("user"):
        value = found_value(rows[feature.name][0])
        if feature.kind == "multi_valued":
            value = (value or [-1])[: feature.length]
        found[feature.name] = np.array([value])
    return found


def _known(parameters):
    """Ads that the catalogue has from earlier starts."""
    ends = [0]
    for file in parameters.catalogue.glob("new_*.parquet"):
        ends.append(int(file.stem.removeprefix("new_")) + pq.read_metadata(file).num_rows)
    return max(ends)


def _status(parameters):
    return Status(parameters.status, "exposures")


def _client(parameters):
    files = parameters.address_files()
    return PredictionClient(lambda: addresses_in(files))


def _ask(client, user, ads):
    try:
        return client.scores(user, ads)[0]
    except (NoAnswer, ValueError):
        return None


def _about(client):
    return {
        "answered": client.answered,
        "failed": client.failed,
        "passed_over": client.passed_over,
        "versions": client.versions,
    }

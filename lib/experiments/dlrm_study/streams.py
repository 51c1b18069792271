"""Click data prepared once, memory-mapped by all trainings."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lib.infra import sweep
from lib.infra.files import replacing
from lib.logs.click_data import ClickData, Clicks, ClickWriter
from lib.logs.click_sources import avazu, criteo
from lib.logs.movielens_clicks import movielens_clicks
from lib.metrics.clicks import normalised_entropy
from lib.simulation.click_stream import Auctions, ClickStream, ClickStreamParameters, Impressions


@dataclasses.dataclass(frozen=True)
class Stream:
    """One stream to train on.

    Attributes:
      data: folder of a `lib.logs.click_data.ClickData`.
      draw: which draw of a world or of an order it is; those of different draws are independent.
      auctions: file of what tests a model by money, or "".
    """

    data: str
    draw: int
    auctions: str = ""

    def plain(self) -> dict[str, Any]:
        """As plain values, for a sweep's task."""
        return dataclasses.asdict(self)


FLOOR_ROWS = 2**18  # from which the truth's loss is taken
REAL = ("movielens", "criteo", "avazu")


@dataclasses.dataclass(frozen=True)
class OpenedStreams:
    """Streams to train on, and what a reader should know of them.

    Attributes:
      streams: one a draw.
      rows: of each; base_rate: mean share of clicks; description: Markdown.
      floor: normalised entropy of the true probabilities, None where nobody knows them.
    """

    streams: list[Stream]
    rows: int
    base_rate: float
    description: str
    floor: float | None = None


def open_streams(
    dataset: str,
    data: str,
    parameters: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    rows: int,
    folder: str | Path,
    requests: int = 0,
    candidates: int = 10,
    n_jobs: int = 1,
    backend: str = "loky",
) -> OpenedStreams:
    """The streams of a data set, prepared where they are not there yet.

    Args:
      dataset: "simulated" or of REAL; data: the real one's file (Criteo, Avazu) or folder.
      parameters, seeds: of simulated streams, a world a seed; of MovieLens, whose times are not
        known, an order; of a log in time order, of the first weights alone.
      rows: that are needed.
      folder: of the prepared streams; requests, candidates: see `simulated_streams`.

    Raises: ValueError for an unknown data set, and one of fewer rows.
    """
    folder = Path(folder) / "streams"
    if dataset == "simulated":
        (streams,) = simulated_streams(
            [parameters],
            seeds,
            rows,
            folder,
            requests=requests,
            candidates=candidates,
            n_jobs=n_jobs,
            backend=backend,
        )
        return _opened(streams, rows, _simulated(parameters))
    if dataset not in REAL:
        raise ValueError(
            f"dataset must be one of {', '.join(('simulated', *REAL))}; got {dataset!r}"
        )
    if dataset == "movielens":
        for seed in seeds:
            movielens_clicks(data, folder / f"movielens-{seed}", seed=seed)
        streams = [Stream(str(folder / f"movielens-{s}"), draw) for draw, s in enumerate(seeds)]
        text = "MovieLens 1M: ratings 4 and 5 are clicks, 1 and 2 are none, 3 is left out; a seed "
        return _opened(streams, rows, text + "is an order of the ratings.")
    {"criteo": criteo, "avazu": avazu}[dataset](data, folder / dataset)
    text = f"{dataset.capitalize()}'s log, in its own order; a seed is of the first weights alone."
    streams = [Stream(str(folder / dataset), draw) for draw in range(len(seeds))]
    return _opened(streams, rows, text)


def _opened(streams, rows, text):
    data = [ClickData.open(stream.data) for stream in streams]
    shortest = min(data, key=len)
    if len(shortest) < rows:
        raise ValueError(
            f"the largest mark and validation_rows need {rows:,} rows; {shortest.folder} holds "
            f"{len(shortest):,}"
        )
    base_rate = float(np.mean([d.clicks / len(d) for d in data]))
    first = data[0]
    text += (
        f"\n\n{len(streams)} draw{'s' if len(streams) > 1 else ''} of {rows:,} rows, "
        f"{base_rate:.1%} clicked; {len(first.fields)} fields of ids and {len(first.dense)} "
        "dense features."
    )
    floor = None
    tail = [d.rows(rows - min(rows, FLOOR_ROWS), rows).probability for d in data]
    if tail[0] is not None:
        floor = float(np.mean([normalised_entropy(p, p) for p in tail]))
        text += (
            f" Who knew every click's true probability would reach a normalised entropy of "
            f"{floor:.4f}."
        )
    return OpenedStreams(streams, rows, base_rate, text, floor)


def _simulated(parameters):
    p = ClickStreamParameters(**parameters)
    drift = f"turn within {p.drift_rows:,.0f} rows" if p.drift_rows else "do not change"
    return (
        f"**Simulated.** Ids beyond a field's R most popular make up (R + 1)^"
        f"-{p.popularity_exponent:g} of the impressions; latent factors beyond the first D make up "
        f"about (D + 1)^-{p.spectrum_exponent:g} of the interactions' variance, which are "
        f"{p.interaction_share:.0%} of the logit's; tastes {drift}; {p.noise:.0%} of the clicks "
        "are chance."
    )


def simulated_streams(
    parameters: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    rows: int,
    folder: str | Path,
    *,
    requests: int = 0,
    candidates: int = 10,
    n_jobs: int = 1,
    backend: str = "loky",
) -> list[list[Stream]]:
    """Simulated streams, written where they are not there yet.

    Args:
      parameters: of each `ClickStreamParameters`, but for the seed.
      seeds: of each one's worlds.
      rows: of each stream.
      folder: of the streams.
      requests, candidates: of the auctions behind each stream's last row; 0 requests: none.
      n_jobs, backend: as for `lib.infra.sweep.run`.

    Returns: for each of `parameters` a stream of each seed.
    """
    tasks = [
        {
            "parameters": {**given, "seed": seed},
            "rows": rows,
            "requests": requests,
            "candidates": candidates,
        }
        for given in parameters
        for seed in seeds
    ]
    sweep.run(prepare, tasks, folder, n_jobs=n_jobs, backend=backend)
    paths = [sweep.result_path(prepare, task, folder) for task in tasks]
    streams = [
        Stream(str(path), number % len(seeds), f"{path}-auctions.npz" if requests else "")
        for number, path in enumerate(paths)
    ]
    return [streams[i : i + len(seeds)] for i in range(0, len(streams), len(seeds))]


def prepare(task: dict, path: Path) -> dict:
    """Write a simulated stream and its auctions; a task of `lib.infra.sweep`."""
    stream = ClickStream(ClickStreamParameters(**task["parameters"]))
    with ClickWriter(path, "simulated", stream.fields, stream.dense, origin=task) as writer:
        for block in stream.blocks(0, task["rows"]):
            writer.write(Clicks(*block))
    if task["requests"]:
        auctions = stream.auctions(task["requests"], task["candidates"], task["rows"])
        with replacing(f"{path}-auctions.npz") as temporary, open(temporary, "wb") as file:
            np.savez(file, bids=auctions.bids, **auctions.impressions._asdict())
    return {"rows": task["rows"]}


def load_auctions(path: str | Path) -> Auctions:
    """The auctions beside a prepared stream."""
    with np.load(path, allow_pickle=False) as file:
        impressions = Impressions(*(file[name] for name in Impressions._fields))
        return Auctions(impressions, file["bids"])

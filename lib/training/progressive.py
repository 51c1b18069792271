"""One pass over a stream of clicks, scored as it goes on the rows that come next."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from scipy.special import expit
from tqdm import tqdm

from lib.infra.grid import on_grid
from lib.metrics import clicks as metrics
from lib.training.checkpoint import Checkpoint, Progress
from lib.training.click_learner import ClickLearner

GRID_BITS = 36  # of metrics
ROWS_A_CALL = 2**17  # handed to the learner together, and read while it learns from those before
# A small model needs small steps at first and large ones for speed later.
BATCHES = ((0, 64), (4096, 512), (65536, 4096))


def train_progressively(
    learner: ClickLearner,
    data,
    *,
    marks: Sequence[int],
    validation_rows: int,
    batches: Sequence[tuple[int, int]] = BATCHES,
    start: int = 0,
    checkpoint: Checkpoint | None = None,
    at_mark: Callable[[ClickLearner], list[dict]] | None = None,
    progress: bool = True,
) -> list[dict]:
    """One pass over rows of a stream; at each mark, the scores on rows not seen so far.

    Args:
      learner: goes on from where it stands.
      data: a `lib.logs.click_data.ClickData`, or whatever has its `rows`, `description` and length.
      marks: after how many rows to score, increasing; the pass ends at the last.
      validation_rows: scored at a mark, those that follow it; trained on afterwards.
      batches: (rows seen, batch size from there on), the first from 0.
      start: row of the data to begin with.
      checkpoint: to go on from where it exists, and to write: every so many steps, at a call's end.
      progress: whether to show a bar.

    Returns: a dict for each mark and replica: samples, replica, and `evaluate_clicks`'s values.
    Raises: ValueError for marks that are not ends of batches, batches that are not powers of two,
      data that are too short, a checkpoint of another run, and a loss that is not finite.
    """
    marks, batches = list(marks), [tuple(pair) for pair in batches]
    _check(data, marks, validation_rows, batches, start)
    run = {
        "learner": learner.description(),
        "data": data.description(),
        "pass": {
            "marks": marks,
            "validation_rows": validation_rows,
            "batches": batches,
            "start": start,
        },
    }
    done = checkpoint.restore(run, learner.variables) if checkpoint else Progress()
    done.offset = done.offset or []  # the marks' results so far
    saved = done.steps
    calls = _calls(done.impressions, marks, batches)
    with tqdm(
        total=marks[-1],
        initial=done.impressions,
        unit="row",
        unit_scale=True,
        disable=not progress,
        desc="train",
    ) as bar:
        for (seen, steps, size), rows in _ahead(calls, data, start):
            losses = learner.take_steps(*as_steps(rows, size))
            _check_finite(losses, seen, size)
            done.losses += losses.mean(axis=1).tolist()
            done.steps += steps
            done.samples = done.impressions = seen + steps * size
            bar.update(steps * size)
            if done.impressions in marks:
                low = start + done.impressions
                scores = evaluate_clicks(learner, data.rows(low, low + validation_rows))
                more = at_mark(learner) if at_mark else [{}] * len(scores)
                done.offset += [
                    {"samples": done.impressions, **score, **values}
                    for score, values in zip(scores, more, strict=True)
                ]
            if checkpoint and (
                done.steps - saved >= checkpoint.every or done.impressions == marks[-1]
            ):
                checkpoint.save(run, learner.variables, done)
                saved = done.steps
    return done.offset


def as_steps(rows, size: int):
    """(inputs of a click model, labels) of consecutive batches, each array [steps, size, ...]."""
    steps = len(rows.labels) // size
    return keras.tree.map_structure(
        lambda array: np.ascontiguousarray(array).reshape(steps, size, *array.shape[1:]),
        ({"ids": rows.ids, "dense": rows.dense}, rows.labels),
    )


def predict_clicks(learner, rows, batch: int = 8192) -> np.ndarray:
    """Probability of a click, float64 [replicas, n].

    Args:
      learner: a ClickLearner, or a click model.
      rows: `lib.logs.click_data.Clicks`, n of them.
      batch: scored at a time.
    """
    model = getattr(learner, "model", learner)
    scores = [
        keras.ops.convert_to_numpy(
            model({"ids": rows.ids[low : low + batch], "dense": rows.dense[low : low + batch]})
        )
        for low in range(0, len(rows.labels), batch)
    ]
    # In double precision, as deployed scores are: float32's exp differs by processor.
    return expit(np.concatenate(scores).T.astype(np.float64))


def evaluate_clicks(learner, rows) -> list[dict]:
    """How well a click model's probabilities fit some rows, a dict for each replica.

    Against the labels: log_loss and base_rate_entropy in nats, normalised_entropy (their ratio),
    auc, calibration (expected over observed clicks). Where the true probabilities are known,
    expected_log_loss and expected_normalised_entropy take their place as labels. All on a grid of
    2^-36, so that the order of a sum changes no digit (`lib.infra.grid`).
    """
    probability = predict_clicks(learner, rows)
    values = {
        "log_loss": metrics.log_loss(probability, rows.labels),
        "normalised_entropy": metrics.normalised_entropy(probability, rows.labels),
        "auc": metrics.auc(probability, rows.labels),
        "calibration": metrics.calibration(probability, rows.labels),
    }
    if rows.probability is not None:
        values["expected_log_loss"] = metrics.log_loss(probability, rows.probability)
        values["expected_normalised_entropy"] = metrics.normalised_entropy(
            probability, rows.probability
        )
    values["base_rate_entropy"] = np.full(len(probability), metrics.base_rate_entropy(rows.labels))
    values = {name: on_grid(value, GRID_BITS) for name, value in values.items()}
    return [
        {"replica": i, **{name: float(value[i]) for name, value in values.items()}}
        for i in range(len(probability))
    ]


def _check(data, marks, validation_rows, batches, start):
    if not marks or marks != sorted(set(marks)) or marks[0] < 1:
        raise ValueError(f"train_progressively: marks must increase from >= 1; got {marks}")
    begins, sizes = [begin for begin, _ in batches], [size for _, size in batches]
    if not batches or begins[0] != 0 or begins != sorted(set(begins)):
        raise ValueError(
            f"train_progressively: batches must begin at 0 and then increase; got {batches}"
        )
    # A power of two leaves means and sums of slopes exact multiples of each other.
    if any(size < 1 or size & (size - 1) for size in sizes):
        raise ValueError(f"train_progressively: batch sizes must be powers of 2; got {batches}")
    for (begin, size), (end, _) in itertools.pairwise([*batches, (np.inf, None)]):
        bad = [m for m in (*marks, *begins) if begin < m <= end and (m - begin) % size]
        if bad:
            raise ValueError(
                f"train_progressively: {bad[0]} rows are no end of a batch: from {begin} rows on "
                f"they count {size}; got marks = {marks}, batches = {batches}"
            )
    if validation_rows < 1:
        raise ValueError(
            f"train_progressively: validation_rows must be >= 1; got {validation_rows}"
        )
    need = start + marks[-1] + validation_rows
    if start < 0 or need > len(data):
        raise ValueError(
            f"train_progressively: start = {start}, the last mark {marks[-1]} and "
            f"{validation_rows} validation_rows need {need} rows; the data hold {len(data)}"
        )


def _check_finite(losses, seen, size):
    finite = np.isfinite(losses)
    if not finite.all():
        step, replica = np.argwhere(~finite)[0]
        raise ValueError(
            f"train_progressively: the loss of replica {replica} is {losses[step, replica]} after "
            f"{seen + step * size} rows; lower the learning rates"
        )


def _calls(seen, marks, batches) -> Iterator[tuple[int, int, int]]:
    """(rows seen before, steps, batch size) of each call of the learner."""
    stops = sorted({*marks, *(begin for begin, _ in batches)})
    while seen < marks[-1]:
        size = [size for begin, size in batches if begin <= seen][-1]
        rows = next(stop for stop in stops if stop > seen) - seen
        steps = min(rows // size, max(ROWS_A_CALL // size, 1))
        yield seen, steps, size
        seen += steps * size


def _ahead(calls, data, start):
    """(call, its rows), the next call's rows being read meanwhile."""

    def read(call):
        seen, steps, size = call
        rows = data.rows(start + seen, start + seen + steps * size)
        return rows._replace(  # copied here, that the disk is waited for in this thread
            labels=np.array(rows.labels), ids=np.array(rows.ids), dense=np.array(rows.dense)
        )

    with ThreadPoolExecutor(1) as pool:
        previous = None
        for call in calls:
            pending = (call, pool.submit(read, call))
            if previous:
                yield previous[0], previous[1].result()
            previous = pending
        if previous:
            yield previous[0], previous[1].result()

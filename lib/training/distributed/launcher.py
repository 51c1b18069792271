"""One call that trains on several processes, of one machine or of several."""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np

from lib.training.distributed.cluster import ROLES, Cluster, Plan, addresses
from lib.training.distributed.work import Work


@dataclasses.dataclass(frozen=True)
class DistributedReport:
    """What a distributed training did.

    Attributes:
      way, workers, servers: that took part.
      losses: [steps], of each batch in the source's order, before its step.
      impressions, samples: trained on and their user-ad pairs, counted by the source's offsets.
      timed_impressions, seconds: of all steps but those of the first two calls, the first one and
        up to 32 more, in which workers compile; waiting for the source and checkpoints included.
      wall_seconds: of the whole pass, what compiled included, starting of processes not.
      digest: SHA-256 of all variables at the end, Adagrad's sums included.
      staleness: [largest + 1], steps whose gradient was applied to dense weights that so many
        other steps had changed since it was read.
      applied: gradients that the servers applied since they began (anew); more than the steps
        where a worker's death made one of its batches be repeated.
      lost, restarts: workers that died and were done without; times that all began anew.
    """

    way: str
    workers: int
    servers: int
    losses: np.ndarray
    impressions: int
    samples: int
    timed_impressions: int
    seconds: float
    wall_seconds: float
    digest: str
    staleness: np.ndarray
    applied: int
    lost: list
    restarts: int

    @property
    def impressions_per_second(self) -> float:
        """NaN where no step was timed."""
        return self.timed_impressions / self.seconds if self.seconds else np.nan


def train_distributed(
    way: str,
    work: Work,
    *,
    workers: int = 2,
    servers: int = 1,
    hosts: list | None = None,
    host: str | None = None,
    port: int = 7000,
    folder=None,
    cores: list | None = None,
    timeout: float = 600,
    restarts: int = 0,
    **options,
) -> DistributedReport | None:
    """Train on several processes.

    Args:
      way: "synchronous", "asynchronous" or "hybrid".
      work: what to train; with its `checkpoint` a training goes on where an earlier one ended.
      workers, servers: processes; a synchronous training has no servers.
      hosts: names of several machines, on which the processes are spread in turn, on ports from
        `port` on. The same call is made on each, with its own name as `host`, the same work, and
        log and checkpoint where all see them; it returns the report on the machine of the
        coordinator (of worker 0 without one), None elsewhere. None: all on this machine, on ports
        that the system chooses. The engines know no passwords: a network of one's own. TensorFlow's
        servers (asynchronous, hybrid) listen at every address of the machine, whatever address
        they are given: close their ports to others there too.
      folder: for what processes say; a temporary one by default.
      cores: of this machine that all processes share; None: all.
      timeout: seconds for the whole.
      restarts: times that all begin again at the checkpoint after one died that the rest needs.
      options: synchronous: `parts`, into which each batch is cut, a multiple of the workers
        (default: their number); trainings of the same parts and up to two workers or parts round
        alike. hybrid: `ahead`, rounds that lookups may run ahead (default 1).

    Returns: DistributedReport.
    Raises: ValueError for what cannot be; RuntimeError where a process died for the last time,
      TimeoutError.
    """
    _check(way, workers, servers, hosts, host, options)
    if way == "synchronous":
        servers, options = 0, {"parts": workers, **options}
    with tempfile.TemporaryDirectory(prefix="distributed-") as temporary:
        folder = Path(folder or temporary)
        for attempt in range(restarts + 1):
            places = addresses(way, workers, servers, hosts, port)
            plan = Plan(way, work, places, options, cores)
            with Cluster(plan, folder / str(attempt), host) as cluster:
                try:
                    cluster.wait(timeout)
                except RuntimeError:
                    if attempt == restarts:
                        raise
                    continue
                return read_report(cluster, attempt)


def read_report(cluster: Cluster, restarts: int = 0) -> DistributedReport | None:
    """Of a cluster whose training is done; None on a host without its chief."""
    path = cluster.folder / "report.json"
    if not path.exists():
        return None
    plain = {"staleness": [], "applied": 0, **json.loads(path.read_text())}
    arrays = {name: np.array(plain[name]) for name in ("losses", "staleness")}
    places = cluster.plan.addresses
    return DistributedReport(
        way=cluster.plan.way,
        workers=len(places["worker"]),
        servers=len(places.get("server", [])),
        lost=cluster.lost,
        restarts=restarts,
        **{**plain, **arrays},
    )


def _check(way, workers, servers, hosts, host, options):
    if way not in ROLES:
        raise ValueError(f"train_distributed: way must be one of {', '.join(ROLES)}; got {way!r}")
    if workers < 1 or (servers < 1 and way != "synchronous"):
        raise ValueError(
            f"train_distributed: workers and servers must be >= 1; got {workers} and {servers}"
        )
    if hosts is not None and host not in hosts:
        raise ValueError(f"train_distributed: host must be one of {hosts}; got {host!r}")
    known = {"synchronous": {"parts"}, "hybrid": {"ahead"}}.get(way, set())
    if set(options) - known:
        raise ValueError(
            f"train_distributed: a {way} training takes no {sorted(set(options) - known)[0]!r}"
        )
    parts = options.get("parts", workers)
    if parts < 1 or parts % workers:
        raise ValueError(
            f"train_distributed: parts must be a multiple of {workers} workers; got {parts}"
        )

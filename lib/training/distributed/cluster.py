"""The processes of a distributed training: started, watched, and gone together.

Every process runs `python -m lib.training.distributed.process PLAN ROLE INDEX`, PLAN being a file
that says who is where and what is to be done. Processes end with the one that started them: its
end closes the pipe that they wait at. What they say goes to files beside the plan.
"""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from lib.infra.files import write_json
from lib.infra.settings import configure
from lib.training.distributed.work import Work

# Who starts on which host is told by the plan, so that the same call on each finds its own.
ROLES = {
    "synchronous": ("worker",),
    "asynchronous": ("server", "worker", "coordinator"),
    "hybrid": ("server", "worker", "coordinator"),
}
LOOPBACK = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Who takes part, where, and in what.

    Attributes:
      way: "synchronous", "asynchronous" or "hybrid".
      work: `Work`.
      addresses: role -> "host:port" of each.
      options: of the way, such as `parts` or `ahead`.
      cores: that the processes may use; None: all.
      timeout: seconds after which a silent process is given up.
    """

    way: str
    work: Work
    addresses: dict
    options: dict
    cores: list | None = None
    timeout: float = 60

    @classmethod
    def read(cls, path) -> "Plan":
        plain = json.loads(Path(path).read_text())
        return cls(**{**plain, "work": Work(**plain["work"])})

    def write(self, path):
        write_json(path, dataclasses.asdict(self))

    @property
    def chief(self) -> str:
        """Name of the process that counts, keeps the checkpoint and reports."""
        return "worker_0" if self.way == "synchronous" else "coordinator_0"


def addresses(way, workers, servers, hosts=None, port=None) -> dict:
    """role -> "host:port" of each process: on free ports of this machine, or on the hosts in turn.

    >>> addresses("asynchronous", 2, 1, hosts=["a", "b"], port=7000)["worker"]
    ['b:7001', 'a:7002']
    """
    counts = {"worker": workers, "server": servers, "coordinator": 1}
    roles = [role for role in ROLES[way] for _ in range(counts[role])]
    if hosts is None:
        places = [f"{LOOPBACK}:{free}" for free in free_ports(len(roles))]
    else:
        places = [f"{hosts[i % len(hosts)]}:{port + i}" for i in range(len(roles))]
    return {
        role: [place for place, of in zip(places, roles, strict=True) if of == role]
        for role in ROLES[way]
    }


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that the system says are free."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


class Cluster:
    """The processes of a plan that belong to one host, from `with` to its end.

    Args:
      plan: `Plan`; folder: for the plan, the processes' messages and the results.
      host: whose processes these are; None: all.

    Attributes:
      processes: name ("worker_0") -> subprocess.Popen.
      lost: names of workers that ended while the training went on without them.
    """

    def __init__(self, plan: Plan, folder, host: str | None = None):
        self.plan, self.folder, self.host = plan, Path(folder), host
        self.processes, self.lost = {}, []

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.plan.write(self.folder / "plan.json")
        configure()
        try:
            for role, places in self.plan.addresses.items():
                for index, place in enumerate(places):
                    if self.host in (None, place.rpartition(":")[0]):
                        self._start(role, index)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, role, index):
        name = f"{role}_{index}"
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lib.training.distributed.process"),
                    *(str(self.folder / "plan.json"), role, str(index), str(os.getpid())),
                ],
                env={**os.environ, **environment(self.plan), "PYTHONPATH": _import_path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, timeout: float):
        """Until the training is done.

        Raises: RuntimeError where a process ended that the others need, with the end of what it
          said; TimeoutError after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        chief = self.processes.get(self.plan.chief)
        while True:
            codes = {name: process.poll() for name, process in self.processes.items()}
            if chief is None and set(codes.values()) == {0}:
                return
            if chief is not None and codes[self.plan.chief] == 0:
                return
            for name, code in codes.items():
                if code is not None and (code or name == self.plan.chief) and name not in self.lost:
                    self._ended(name, code)
            if time.monotonic() > end:
                raise TimeoutError(f"{self.plan.way} training: not done after {timeout:g} s")
            time.sleep(0.05)

    def _ended(self, name, code):
        replaceable = self.plan.way == "asynchronous" and name.startswith("worker")
        if replaceable and len(self.lost) + 1 < len(self.plan.addresses["worker"]):
            self.lost.append(name)
            return
        said = (self.folder / f"{name}.log").read_text(errors="replace").strip()[-2000:]
        raise RuntimeError(
            f"{self.plan.way} training: {name} ended with code {code}; it said last:\n{said}"
        )

    def stop(self):
        """End all processes and wait for their end."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def __exit__(self, *_):
        self.stop()


def environment(plan: Plan) -> dict:
    """What a process of the plan needs set before its libraries start."""
    if plan.way != "synchronous":
        # Functions of several workers wait in a server at a time.
        threads = str(2 + len(plan.addresses["worker"]))
        return {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTEROP_THREADS": threads}
    devices = plan.options["parts"] // len(plan.addresses["worker"])
    flags = [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_multi_thread_eigen=false",
        "--xla_cpu_enable_concurrency_optimized_scheduler=false",
        f"--xla_force_host_platform_device_count={devices}",
    ]
    return {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags)}


def _import_path():
    # A process must find `lib` where this one did, wherever it was started from.
    root = str(Path(__file__).parents[3])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))

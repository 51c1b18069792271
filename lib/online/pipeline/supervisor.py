"""Starts the pipeline's processes, starts them again when they die, and stops them."""

import dataclasses
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0  # seconds before a process is started again
_HEALTHY = 60.0  # after so many it counts as one that runs: its next death is its first
log = logging.getLogger(__name__)


@dataclasses.dataclass
class Child:
    """A process under a name.

    Attributes:
      command: its arguments.
      process: as it runs; None before its first start.
      starts: how often it was started; deaths: how often it ended by itself.
      died: how it last ended, in words.
      over: whether it is not to be started again.
    """

    command: Sequence[str]
    process: subprocess.Popen | None = None
    starts: int = 0
    deaths: int = 0
    died: str = ""
    over: bool = False
    begun: float = 0.0
    due: float = 0.0
    pause: float = _FIRST_PAUSE

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Keeps processes running; `step` is to be called a few times a second, as `run` does.

    Args:
      commands: name -> arguments, started in this order and stopped in the reverse.
      folder: of their output, NAME.log, which a new start goes on writing to.
      patience: seconds from SIGTERM to SIGKILL.

    Attributes: children: name -> Child; faults: (time, name, what happened), the last 200.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], folder, patience: float = 15.0):
        self.children = {name: Child(command) for name, command in commands.items()}
        self.folder, self.patience = Path(folder), patience
        self.folder.mkdir(parents=True, exist_ok=True)
        self.faults: list[tuple[float, str, str]] = []
        self._stopping = False

    def step(self) -> None:
        """Note deaths, and start what is due."""
        for name, child in self.children.items():
            if child.running or child.over or self._stopping:
                continue
            now = time.monotonic()
            if child.process is not None and child.due <= child.begun:
                child.deaths += 1
                child.died = _how(child.process.returncode)
                child.pause = (
                    _FIRST_PAUSE
                    if now - child.begun > _HEALTHY
                    else min(2 * child.pause, _LONGEST_PAUSE)
                )
                child.due = now + child.pause
                self.note(name, child.died)
            if now >= child.due:
                self._start(name, child)

    def note(self, name: str, what: str) -> None:
        """Put something into the list of faults."""
        self.faults = [*self.faults[-199:], (time.time(), name, what)]
        log.warning("%s %s", name, what)

    def kill(self, name: str) -> bool:
        """kill -9, for tests of faults; whether it was running."""
        child = self.children[name]
        if not child.running:
            return False
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()
        return True

    def end(self, name: str) -> None:
        """Stop one for good, as `stop` does."""
        child = self.children[name]
        child.over = True
        if child.running:
            child.process.terminate()
            try:
                child.process.wait(self.patience)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def stop(self) -> None:
        """SIGTERM to each in reverse order of their start, SIGKILL to who does not listen."""
        self._stopping = True
        deadline = time.monotonic() + self.patience
        running = [child for child in reversed(self.children.values()) if child.running]
        for child in running:
            child.process.terminate()
        for child in running:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def run(self, until: Callable[[], bool]) -> None:
        """Keep all running until `until` says so; then stop them, whatever happens."""
        try:
            while not until():
                self.step()
                time.sleep(0.1)
        finally:
            self.stop()

    def status(self) -> dict[str, dict]:
        """Name -> whether it runs, its process, starts, deaths."""
        return {
            name: {
                "running": child.running,
                "process": child.process.pid if child.process else None,
                "deaths": child.deaths,
                "died": child.died,
                "seconds": time.monotonic() - child.begun if child.running else 0.0,
            }
            for name, child in self.children.items()
        }

    def _start(self, name, child):
        with open(self.folder / f"{name}.log", "ab") as output:
            child.process = subprocess.Popen(
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the supervisor, which stops its processes in order.
                start_new_session=True,
            )
        child.starts += 1
        child.begun = time.monotonic()
        child.due = 0.0


def _how(status):
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"


def role_command(role: str, parameters: Path, index: int = 0) -> list[str]:
    """Arguments of a process that plays a role of `lib.online.pipeline.roles`."""
    return [sys.executable, "-m", "lib.online.pipeline.roles", role, str(parameters), str(index)]

"""A broker that speaks Kafka's protocol, on loopback."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

NAMES = itertools.count()


class Broker:
    """noida-db with Kafka's protocol alone; it keeps its port over `kill` and `start`."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, 0, None
        self.start()

    def start(self):
        """The process itself, not the command around it, which would survive a kill."""
        from noida_db import __file__ as package

        program = Path(package).parent / "noida-db"
        log = self.folder / "log.txt"
        with open(log, "wb") as out:
            options = ["--kafka-port", str(self.port), "--data-dir", self.folder / "data"]
            command = [program, "start", "--only", "kafka", *options]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while not (found := re.search(r"kafka\s+127\.0\.0\.1:(\d+)", log.read_text())):
            assert time.monotonic() < deadline and self.process.poll() is None, log.read_text()
            time.sleep(0.02)
        self.port = int(found[1])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def topic(self, partitions):
        """A new topic's name."""
        name = f"exposures-{next(NAMES)}"
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(20)
        return name


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the broker of the tests is for Linux on x86-64")
    folder = tmp_path_factory.mktemp("broker")
    broker = Broker(folder)
    yield broker
    broker.kill()
    shutil.rmtree(folder / "data", ignore_errors=True)

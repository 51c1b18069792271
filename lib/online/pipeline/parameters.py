"""What a pipeline is started with, checked before anything is."""

import json
from pathlib import Path
from typing import Annotated

import pydantic

from lib.infra.files import write_json
from lib.infra.machine import cores
from lib.simulation.parameters import WorldParameters, world_parameters

LOCAL_BROKER = "local"
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


class PipelineParameters(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A pipeline on this machine.

    folder: of everything it writes: stream, exports, ad parts, checkpoint, logs.
    logs, features: a log of one's own (Parquet) to be replayed, and its features file; without,
      the simulated system runs and asks the servers.
    ads: folder of the ads' features for `logs`; without, they are taken from the log.
    world, seed: of the simulated system (`lib.simulation.world_parameters`).
    hidden: [a_1, ..., a_L] of the model; learning_rate, batch_impressions: of its training.
    impressions_per_second: that the system exposes, by this machine's clock.
    time_factor: simulated seconds a second; of a replayed log too.
    export_every_minutes: in simulated time.
    partitions: of the stream.
    kafka: "HOST:PORT,..." of a Kafka's brokers; "local": a broker for tests is started
      (package noida-db); without, the stream lies in the folder.
    window_seconds: in which impressions are shuffled, in simulated time.
    servers: prediction servers; threads: of each.
    port: of the live page; 0 lets the system choose.
    new_ads_share: of the simulated ads, those that come while it runs.
    ads_a_list: every list is padded to this many; of a log of one's own it is read from the log.
    """

    folder: Path
    logs: Path | None = None
    features: Path | None = None
    ads: Path | None = None
    world: str = "small"
    seed: Annotated[int, pydantic.Field(ge=0)] = 0
    hidden: tuple[pydantic.PositiveInt, ...] = (64, 16, 16, 1)
    learning_rate: Positive = 0.03
    batch_impressions: pydantic.PositiveInt = 64
    impressions_per_second: Positive = 50.0
    time_factor: Positive = 20.0
    export_every_minutes: Positive = 20.0
    partitions: pydantic.PositiveInt = 2
    kafka: str | None = None
    window_seconds: Positive = 60.0
    servers: pydantic.PositiveInt = 2
    threads: pydantic.PositiveInt = pydantic.Field(default_factory=lambda: max(1, cores() // 2))
    port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 8080
    new_ads_share: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.05
    ads_a_list: pydantic.PositiveInt = 12

    @pydantic.model_validator(mode="after")
    def _is_whole(self):
        if (self.logs is None) != (self.features is None):
            raise ValueError(
                "logs and features belong together; got "
                f"logs = {self.logs}, features = {self.features}"
            )
        if self.hidden[-1] != 1:
            raise ValueError(f"hidden must end in 1, the score; got {list(self.hidden)}")
        self.world_parameters()
        return self

    def world_parameters(self) -> WorldParameters:
        """Of the simulated world."""
        return world_parameters(self.world, seed=self.seed)

    @property
    def stream(self) -> Path:
        return self.folder / "stream"

    @property
    def exports(self) -> Path:
        return self.folder / "exports"

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    @property
    def catalogue(self) -> Path:
        return self.ads or self.folder / "ads"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.npz"

    @property
    def dead_letters(self) -> Path:
        return self.folder / "dead_letters.jsonl"

    @property
    def status(self) -> Path:
        return self.folder / "status"

    @property
    def clock(self) -> Path:
        return self.folder / "clock.json"

    def address_files(self) -> list[Path]:
        """Where each server writes its address."""
        return [self.folder / f"server_{i}.address" for i in range(self.servers)]

    def save(self, path) -> None:
        """Write a file that `load` reads."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path) -> "PipelineParameters":
        """What `save` wrote. Raises: ValueError, naming the file, for another or a damaged one."""
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            reason = str(error)
            if isinstance(error, pydantic.ValidationError):
                first = error.errors()[0]
                reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise ValueError(
                f"{path}: expected the parameters of a pipeline that ran here; found a damaged "
                f"file, or another version's ({reason})"
            ) from None

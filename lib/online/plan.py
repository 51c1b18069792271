"""A pipeline on paper: what a platform's traffic and inventory would need, from measured rates.

Nothing here is measured: every number follows from the parameters by the arithmetic that is said.
"""

from __future__ import annotations

import math

import pandas as pd
import pydantic

from lib.cost.embedding_producer import producer_machines
from lib.models.flop_count import matrix_flops
from lib.models.size_parameters import check_size_parameters

SECONDS_A_DAY = 86_400
FLOAT = 4  # bytes


class Workload(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the pipeline has to carry.

    Attributes:
      impressions, days: trained on, and in which time.
      ads: of the inventory; new_ads_a_day: share of them that are new each day.
      candidates: of a request; requests_per_impression: that servers answer.
      peak: traffic of the busiest hour over the mean.
      size_parameters: [a_0, ..., a_L]; user_width: inputs of a_0 that are the user's.
      table_bytes: of all embeddings.
      export_minutes: between two exports; changed_share: of the tables' rows that an export holds;
      full_every: of so many exports one holds all; kept_versions: that stay in the store.
      retention_days: that the stream keeps.
      producer_minutes: in which the ads' parts must be ready; part_bytes: of a number of them.
    """

    impressions: pydantic.PositiveFloat
    days: pydantic.PositiveFloat
    ads: pydantic.PositiveFloat
    new_ads_a_day: pydantic.NonNegativeFloat = 0.1
    candidates: pydantic.PositiveInt = 1500
    requests_per_impression: pydantic.PositiveFloat = 1.0
    peak: float = pydantic.Field(1.5, ge=1)
    size_parameters: tuple[pydantic.PositiveInt, ...] = (3328, 1024, 256, 256, 256, 1)
    user_width: pydantic.PositiveInt = 1664
    table_bytes: pydantic.PositiveFloat = 1e11
    export_minutes: pydantic.PositiveFloat = 20.0
    changed_share: float = pydantic.Field(0.1, gt=0, le=1)
    full_every: pydantic.PositiveInt = 12
    kept_versions: pydantic.PositiveInt = 24
    retention_days: pydantic.PositiveFloat = 3.0
    producer_minutes: pydantic.PositiveFloat = 5.0
    part_bytes: pydantic.PositiveInt = 2

    @pydantic.model_validator(mode="after")
    def _a_model(self):
        check_size_parameters(self.size_parameters, "mlp")
        if self.user_width >= self.size_parameters[0]:
            raise ValueError(
                f"user_width must be below a_0 = {self.size_parameters[0]}; got {self.user_width}"
            )
        return self

    @property
    def ad_width(self) -> int:
        """Inputs of a_0 that are the ad's."""
        return self.size_parameters[0] - self.user_width


class Rates(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What one machine was measured to do; the numbers' source is the caller's to say.

    Attributes:
      trained_flops: FLOP/s of a trainer: those of its steps' matrix products.
      training_efficiency: of many trainers together, over as many alone.
      requests: per second of a server, within its limit of latency.
      record_bytes: of an impression in the stream; partition_bytes: per second of a partition.
      producer_flops: FLOP/s of the Embedding Producer.
      memory: of a machine that holds the ads' parts, bytes; used_share: of any rate or memory.
    """

    trained_flops: pydantic.PositiveFloat
    training_efficiency: float = pydantic.Field(1.0, gt=0, le=1)
    requests: pydantic.PositiveFloat
    record_bytes: pydantic.PositiveFloat
    partition_bytes: pydantic.PositiveFloat
    producer_flops: pydantic.PositiveFloat
    memory: pydantic.PositiveFloat
    used_share: float = pydantic.Field(0.7, gt=0, le=1)


def plan_on_paper(work: Workload, rates: Rates, ads_an_impression: int = 10) -> pd.DataFrame:
    """What the workload needs: columns part, quantity, value, unit, how.

    >>> work = Workload(impressions=20e9, days=10, ads=1e7)
    >>> rates = Rates(trained_flops=1e11, requests=100, record_bytes=4000, partition_bytes=5e7,
    ...               producer_flops=1e11, memory=6.4e10)
    >>> plan = plan_on_paper(work, rates).set_index("quantity").value
    >>> round(plan["impressions a second, peak"]), int(plan["partitions"])
    (34722, 4)
    """
    mean = work.impressions / (work.days * SECONDS_A_DAY)
    peak = mean * work.peak
    sample = float(matrix_flops(work.size_parameters))
    step = 3 * sample * ads_an_impression  # forward and backward are three forward passes
    trainer = rates.trained_flops * rates.training_efficiency * rates.used_share / step
    requests = peak * work.requests_per_impression
    dense = FLOAT * sample / 2  # a weight is a multiply-add
    exports = 24 * 60 / work.export_minutes
    full, changed = work.table_bytes + dense, work.changed_share * work.table_bytes + dense
    export = (full + (work.full_every - 1) * changed) / work.full_every
    part = 2 * work.ad_width * work.size_parameters[1]
    producer = producer_machines(
        work.size_parameters,
        work.user_width,
        ads=work.ads,
        minutes=work.producer_minutes,
        flops_per_second=rates.producer_flops * rates.used_share,
        memory=rates.memory * rates.used_share,
        part_bytes=work.part_bytes,
    )
    rows = [
        ("traffic", "impressions a second, mean", mean, "1/s", "impressions / days"),
        ("traffic", "impressions a second, peak", peak, "1/s", "x peak"),
        ("stream", "bytes a second, peak", peak * rates.record_bytes, "B/s", "x record_bytes"),
        (
            "stream",
            "partitions",
            math.ceil(peak * rates.record_bytes / (rates.partition_bytes * rates.used_share)),
            "",
            "by bytes a second of one",
        ),
        (
            "stream",
            "bytes kept",
            mean * rates.record_bytes * work.retention_days * SECONDS_A_DAY,
            "B",
            "retention_days of the mean",
        ),
        ("trainers", "FLOPs an impression", step, "FLOP", "3 x forward x ads logged"),
        ("trainers", "machines", math.ceil(peak / trainer), "", "keep up with the peak"),
        ("servers", "requests a second, peak", requests, "1/s", "x requests_per_impression"),
        (
            "servers",
            "machines",
            math.ceil(requests / (rates.requests * rates.used_share)),
            "",
            "by requests a second of one",
        ),
        ("exports", "versions a day", exports, "", "by export_minutes"),
        ("exports", "bytes a version, mean", export, "B", "one full of full_every, else changed"),
        ("exports", "bytes a day", exports * export, "B", "to the store"),
        ("exports", "bytes kept", work.kept_versions * export, "B", "kept_versions"),
        (
            "Embedding Producer",
            "FLOPs a version",
            part * work.ads,
            "FLOP",
            "2 x ad inputs x a_1 x ads",
        ),
        (
            "Embedding Producer",
            "machines",
            producer["computing"],
            "",
            "all parts within producer_minutes",
        ),
        (
            "Embedding Producer",
            "bytes of parts",
            producer["memory"] / 2,
            "B",
            "ads x a_1 x part_bytes",
        ),
        (
            "Embedding Producer",
            "machines that share a copy",
            producer["holding"],
            "",
            "two versions in memory",
        ),
        (
            "Embedding Producer",
            "new ads a second",
            work.ads * work.new_ads_a_day / SECONDS_A_DAY,
            "1/s",
            "computed on the spot",
        ),
    ]
    return pd.DataFrame(rows, columns=["part", "quantity", "value", "unit", "how"])

"""A pipeline on paper: what a platform's traffic and inventory would need, from measured rates.

Nothing here is measured: every number follows from the parameters by the arithmetic that is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pydantic

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
    update = part * work.ads
    seconds = update / (rates.producer_flops * rates.used_share)
    parts = work.ads * work.size_parameters[1] * work.part_bytes
    usable = rates.memory * rates.used_share
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
        ("Embedding Producer", "FLOPs a version", update, "FLOP", "2 x ad inputs x a_1 x ads"),
        (
            "Embedding Producer",
            "machines",
            math.ceil(seconds / (60 * work.producer_minutes)),
            "",
            "all parts within producer_minutes",
        ),
        ("Embedding Producer", "bytes of parts", parts, "B", "ads x a_1 x part_bytes"),
        (
            "Embedding Producer",
            "machines that share a copy",
            math.ceil(2 * parts / usable),
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


def cache_savings(
    size_parameters: Sequence[int],
    user_width: int,
    *,
    candidates: int,
    ads: float,
    requests_per_second: float,
    export_minutes: float,
    part_bytes: int = FLOAT,
) -> dict[str, float]:
    """What the ads' cached first-layer parts save, and what keeping them fresh costs.

    Without a cache each request computes the user's part once and each candidate's part; with it
    all ads' parts are computed at each export instead.

    Returns: name -> value: request (FLOPs of a request without cache), ad_part (those of its
      candidates' first layer), saved_share, producer (FLOPs of an export), producer_share (of what
      the requests of an interval save), break_even (requests a second), memory (bytes, one
      version).

    >>> saved = cache_savings([4, 3, 1], 2, candidates=10, ads=100, requests_per_second=1.0,
    ...                       export_minutes=1.0)
    >>> saved["ad_part"], saved["request"], saved["producer"], round(saved["break_even"], 3)
    (120, 192, 1200, 0.167)
    """
    first = size_parameters[1]
    ad_width = size_parameters[0] - user_width
    upper = int(matrix_flops(size_parameters[1:]))
    ad_part = 2 * ad_width * first * candidates
    request = 2 * user_width * first + ad_part + upper * candidates
    producer = 2 * ad_width * first * ads
    seconds = 60 * export_minutes
    return {
        "request": request,
        "ad_part": ad_part,
        "saved_share": ad_part / request,
        "producer": producer,
        "producer_share": producer / (ad_part * requests_per_second * seconds),
        "break_even": producer / ad_part / seconds,
        "memory": ads * first * part_bytes,
    }

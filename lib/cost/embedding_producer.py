"""What the Embedding Producer costs and saves: ads' first-layer parts, computed ahead (appendix A).

"This caching mechanism ... reduc[es] the computational overhead": the first layer's ad part is
computed once an export for every ad, in place of once a request for every candidate.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lib.models.flop_count import matrix_flops


def cache_savings(
    size_parameters: Sequence[int],
    user_width: int,
    *,
    candidates: int,
    ads: float,
    requests_per_second: float,
    export_minutes: float,
    part_bytes: int = 4,
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


def producer_machines(
    size_parameters: ArrayLike,
    user_width: ArrayLike,
    *,
    ads: float,
    minutes: float,
    flops_per_second: float,
    memory: float,
    part_bytes: int = 4,
    versions: int = 2,
    whole: bool = True,
) -> dict[str, ArrayLike]:
    """Machines that compute all ads' parts in time, and how many must share a copy of them.

    Args:
      size_parameters: of one size [layers + 1], or of many [..., layers + 1].
      user_width: how many of the inputs belong to the user, [...].
      ads: of the inventory; minutes: in which an update must be done.
      flops_per_second: of a machine, as measured (`make bench-online`); memory: bytes of it.
      part_bytes: of a number; versions: held at a time, the serving one and the one to come.
      whole: round machines up to whole ones.

    Returns: name -> value, [...]: seconds (of an update on one machine), computing (machines),
      memory (bytes), holding (machines that share a copy).
    Raises: ValueError unless minutes, flops_per_second and memory are above 0.

    >>> need = producer_machines([3328, 1024, 256, 256, 256, 1], 1664, ads=1e7, minutes=5,
    ...                          flops_per_second=1e11, memory=6.4e10, part_bytes=2)
    >>> round(need["seconds"]), need["computing"], need["memory"] / 1e9, need["holding"]
    (341, 2, 40.96, 1)
    """
    if min(minutes, flops_per_second, memory) <= 0:
        raise ValueError(
            "producer_machines: minutes, flops_per_second and memory must be > 0; got "
            f"{minutes}, {flops_per_second}, {memory}"
        )
    sizes = np.asarray(size_parameters)
    seconds = 2.0 * (sizes[..., 0] - user_width) * sizes[..., 1] * ads / flops_per_second
    held = versions * ads * sizes[..., 1] * part_bytes
    computing, holding = seconds / (60 * minutes), held / memory
    if whole:
        computing, holding = (np.ceil(machines).astype(int) for machines in (computing, holding))
    need = {"seconds": seconds, "computing": computing, "memory": held, "holding": holding}
    return need if sizes.ndim > 1 else {name: value.item() for name, value in need.items()}

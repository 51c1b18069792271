"""Random numbers that are a function of their key: (seed, stream, user, visit, ad).

A paired A/B test needs common random numbers in both arms although they hold different ads, and
a log must not depend on how it was cut into blocks. Both follow when a draw is computed from its
key and not taken from a generator's state. NumPy's counter-based generators take one key at a
time; here the mixing functions are applied to whole arrays.

SplitMix64 (Steele et al. 2014) mixes the keys of visits, "lowbias32" (Wellons 2018,
github.com/skeeto/hash-prospector) the ads of a visit.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from lib.infra.grid import on_grid

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def visit_keys(seed: int, stream: str, users: ArrayLike, visits: ArrayLike) -> np.ndarray:
    """One 64-bit key per visit; `stream` names what the numbers are used for.

    Args:
      seed: int >= 0.
      stream: str; draws under different names are independent.
      users, visits: integers, broadcast against each other, [B].

    Returns: uint64 [B].

    >>> keys = visit_keys(0, "mix", [7, 7], [1, 2])
    >>> bool(keys[0] == visit_keys(0, "mix", 7, 1)), bool(keys[0] == keys[1])
    (True, False)
    """
    key = np.uint64(zlib.crc32(stream.encode()))
    for part in (seed, users, visits):
        with np.errstate(over="ignore"):
            key = _splitmix64(key + np.asarray(part).astype(np.uint64))
    return key


def uniform(keys: np.ndarray, items: ArrayLike) -> np.ndarray:
    """Uniform numbers in (0, 1), float32, one for each item (ad, slot) of each visit.

    Args:
      keys: uint64 [B] from `visit_keys`.
      items: integers below 2^32, [B, C] or [C].

    Returns: float32 [B, C].
    """
    # 23 bits and the half are exact in float32, which keeps both ends out.
    return ((_bits(keys, items) >> 9).astype(np.float32) + 0.5) * np.float32(2**-23)


def integers(keys: np.ndarray, item: int, high: int) -> np.ndarray:
    """Uniform integers in 0..high-1, one for each visit, int64 [B]; `item` as for `uniform`."""
    return (uniform(keys, [item])[:, 0].astype(np.float64) * high).astype(np.int64)


def normal(keys: np.ndarray, items: ArrayLike) -> np.ndarray:
    """Standard normal numbers on a grid of 2^-16, float32 [B, C]; arguments as for `uniform`."""
    return on_grid(ndtri((_bits(keys, items) + 0.5) * 2.0**-32), 16).astype(np.float32)


def _splitmix64(x):
    x = x + GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _bits(keys, items):
    """32 random bits for each item of each visit, uint32 [B, C]."""
    keys = np.asarray(keys, dtype=np.uint64)[..., None]
    x = np.asarray(items).astype(np.uint32) ^ keys.astype(np.uint32)
    for multiplier in (0x21F0AAAD, 0xD35A2D97):
        x ^= x >> np.uint32(15)
        x *= np.uint32(multiplier)
    # The key's other half enters in the middle: two visits then never see
    # the same numbers at exchanged ads.
    x += (keys >> np.uint64(32)).astype(np.uint32)
    for multiplier in (0x21F0AAAD, 0xD35A2D97):
        x ^= x >> np.uint32(15)
        x *= np.uint32(multiplier)
    return x ^ (x >> np.uint32(15))

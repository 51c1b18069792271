"""Impressions as arrays: first axis impressions, last ads (but for a feature's own width).

Lists shorter than the longest are padded; `mask` says which ads are real.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Impressions:
    """A batch of B whole impressions of up to n ads.

    impression_id  [B] int64
    timestamp      [B] datetime64[us], UTC
    user           name -> [B], [B, length] or [B, width]
    ad             name -> [B, n], [B, n, length] or [B, n, width]
    v, ecpm        [B, n] float64, 0 where padded
    mask           [B, n] bool, True for a real ad
    extra          name -> [B, n], columns that were asked for beside the features
    """

    impression_id: np.ndarray
    timestamp: np.ndarray
    user: dict
    ad: dict
    v: np.ndarray
    ecpm: np.ndarray
    mask: np.ndarray
    extra: dict

    def __len__(self):
        return len(self.impression_id)

    def take(self, index) -> "Impressions":
        """The impressions at `index` (a slice or an array)."""
        return Impressions(
            *(
                {name: array[index] for name, array in value.items()}
                if isinstance(value, dict)
                else value[index]
                for value in (getattr(self, field.name) for field in dataclasses.fields(self))
            )
        )


def concatenate(parts) -> Impressions:
    """Batches of one log, padded to one width, as one."""

    def join(values):
        if isinstance(values[0], dict):
            return {name: np.concatenate([value[name] for value in values]) for name in values[0]}
        return np.concatenate(values)

    return Impressions(
        *(
            join([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(Impressions)
        )
    )

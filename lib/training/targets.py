"""What a model learns to reproduce: the order of an impression's ads in the system's queue."""

import dataclasses

import numpy as np

from lib.logs.reader import Impressions


def ranks(v, mask):
    """How many ads of the list have a lower v; -1 for padding.

    Eq 3-4 sort `v` with a soft operator whose sharpness depends on v's unit; ranks
    make every log alike, whatever its v counts, and keep ties.

    Args:
      v: [..., n], rank indices, higher is better; mask: [..., n], True for a real ad.

    Returns: float32 [..., n].

    >>> ranks(np.array([[9.0, 2.5, 2.5, 0.0]]), np.array([[True, True, True, False]]))
    array([[ 2.,  0.,  0., -1.]], dtype=float32)
    """
    v = np.where(mask, v, np.inf)
    lower = (v[..., None, :] < v[..., :, None]).sum(axis=-1)
    return np.where(mask, lower, -1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class RankTarget:
    """The training target of a batch: `ranks` of v, with or without label noise.

    Attributes:
      noise: standard deviation, in ranks, of what is added before ranking anew.
      seed: of the noise; a step's noise depends on the seed and the step's number alone.
    """

    noise: float = 0.0
    seed: int = 0

    def __call__(self, batch: Impressions, step: int) -> np.ndarray:
        """Target of the batch that step `step` (from 0) trains on, [B, n]; -1 for padding."""
        target = ranks(batch.v, batch.mask)
        if not self.noise:
            return target
        noise = np.random.default_rng([self.seed, step, 1]).normal(0, self.noise, target.shape)
        return ranks(np.where(batch.mask, target + noise, -np.inf), batch.mask)

    def description(self) -> dict:
        """What a checkpoint must agree in with the run that continues it."""
        noise = {"label_noise": self.noise}
        return noise | {"seed of the label noise": self.seed} if self.noise else noise

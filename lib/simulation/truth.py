"""What is true in the simulated world, and what no platform could know.

Five things read it: the Ranking stage, whose predictions it defines; the count of what exposures
were really worth; the world's past, which leaves clicks and bids in the features; the stand-ins
for production models; and functions whose name begins with `oracle`. No feature and no log
contains it.
"""

import copy
from functools import partial

import numpy as np

from lib.infra.grid import check_exact, exact_product, on_grid
from lib.simulation.keyed_random import normal, visit_keys

BLOCK_USERS = 256  # user x ad matrices are made for this many users at a time
# What is true lies on these grids, multiples of 2^-bits, and is the same on every processor
# (lib/infra/grid.py).
LATENT_BITS = 16  # of latents and of what they are multiplied with
FACTOR_BITS = 16  # of the waves' factors
LOGIT_BITS = 16  # of logits and logarithms of money
RATE_BITS = 24  # of click and conversion rates


class Waves:
    r"""A rough function of user and ad that factorises: a sum of random cosine waves.

    f(u, a) = \sum_k s_k cos(p_k . u + q_k . a + phi_k),  s_k ~ k^{-0.6},
    phases p_k . u and q_k . a of standard deviation roughness (1 + k / 32)^{0.3}

    The power-law spectrum gives bigger models something left to learn at every size. Since
    cos(x + y) = cos x cos y - sin x sin y, the values of all pairs are one matrix product, and
    its first 2 k columns are the k strongest waves.

    Args:
      user_latents, ad_latents: float [users, width], [ads, width], of variance 1, on the grid.
      waves: number of waves.
      roughness: radians, see above.
      sd: standard deviation of f over random phases.
      rng: np.random.Generator.
    """

    def __init__(self, user_latents, ad_latents, *, waves, roughness, sd, rng):
        k = np.arange(waves)
        strength = (k + 1.0) ** -0.6
        strength *= sd / np.sqrt(np.sum(strength**2) / 2)
        width = user_latents.shape[1]
        frequency = roughness * (1 + k / 32) ** 0.3 / np.sqrt(width)
        user_phase, ad_phase = (
            exact_product(
                latents,
                on_grid(rng.normal(size=(width, waves)) * frequency, LATENT_BITS),
                LATENT_BITS,
            )
            for latents in (user_latents, ad_latents)
        )
        user_phase = user_phase + rng.uniform(0, 2 * np.pi, waves)
        # |cos x cos y| + |sin x sin y| <= 1: no partial sum is larger than the strengths'.
        check_exact(2 * strength.sum(), 2 * FACTOR_BITS)
        self.user_factors = _interleave(
            strength * np.cos(user_phase), -strength * np.sin(user_phase)
        )
        self.ad_factors = _interleave(np.cos(ad_phase), np.sin(ad_phase))

    def all_ads(self, users, strongest=None):
        """Values for users [B] and every ad, [B, ads]; of the `strongest` waves only."""
        columns = None if strongest is None else 2 * strongest
        return self.user_factors[users, :columns] @ self.ad_factors[:, :columns].T

    def turned(self, angles):
        """The same waves with other phases: phi_k + angles[k] (radians), angles [waves]."""
        cosine, sine = np.cos(np.float64(angles)), np.sin(np.float64(angles))
        first, second = self.user_factors[:, ::2], self.user_factors[:, 1::2]
        later = copy.copy(self)
        later.user_factors = _interleave(
            cosine * first + sine * second, cosine * second - sine * first
        )
        return later


class Truth:
    """Click and conversion rates, and Ranking's view of them.

    Args:
      user_latents, ad_latents: float [users, width], [ads, width], of variance 1.
      advertiser: of each ad, integers [ads].
      parameters: WorldParameters.
      rng: np.random.Generator.

    Attributes:
      log_bid: log of the bid per conversion, [ads].
    """

    def __init__(self, user_latents, ad_latents, advertiser, parameters, rng):
        p = self.parameters = parameters
        draw = partial(Waves, user_latents, ad_latents, roughness=p.roughness, rng=rng)
        self.ctr_waves = draw(waves=p.ctr_waves, sd=p.ctr_sd)
        self.cvr_waves = draw(waves=p.cvr_waves, sd=p.cvr_sd)
        self.error_waves = draw(waves=p.ranking_error_waves, sd=p.ranking_error_sd)
        self.ctr_bias = on_grid(rng.normal(p.ctr_logit, p.ctr_bias_sd, p.ads), LOGIT_BITS)
        cvr_bias = rng.normal(0, p.cvr_bias_sd, p.ads)
        self.cvr_bias = on_grid(p.cvr_logit + cvr_bias, LOGIT_BITS)
        # Half of a bid's variance is the advertiser's; who converts easily bids less per
        # conversion.
        own, shared = rng.normal(size=p.ads), rng.normal(size=p.advertisers)[advertiser]
        spread = p.bid_sd * (own + shared) / np.sqrt(2)
        log_bid = np.log(p.bid_median) + spread - p.bid_cvr_slope * cvr_bias
        self.log_bid = on_grid(log_bid, LOGIT_BITS)
        self.ranking_bias = p.ranking_bias_sd * _keyed_normal(p.seed, "ranking bias", p.ads)

    def turned(self, drift):
        """The truth at another time: every wave of CTR and CVR at another phase.

        Args:
          drift: standard deviation of the phases' turns, radians; the logits then correlate
            with today's by exp(-drift^2 / 2).
        """
        return self._with_turns(
            lambda name, waves: (
                drift * _keyed_normal(self.parameters.seed, f"drift of {name}", waves)
            )
        )

    def wandered(self, radians, steps):
        """The truth after so many steps of a random walk of every wave's phase.

        Args:
          radians: standard deviation of a step; the logits of two times n steps apart then
            correlate by exp(-n radians^2 / 2), whatever the times.
          steps: int >= 0.
        """

        def turns(name, waves):
            keys = visit_keys(self.parameters.seed, f"walk of {name}", 0, np.arange(steps))
            return radians * normal(keys, np.arange(waves)).sum(axis=0, dtype=np.float64)

        return self._with_turns(turns)

    def _with_turns(self, turns):
        """The truth with CTR and CVR at other phases: turns(name, waves) -> radians [waves]."""
        later = copy.copy(self)
        for name in ("ctr_waves", "cvr_waves"):
            waves = getattr(self, name)
            setattr(later, name, waves.turned(turns(name, waves.user_factors.shape[1] // 2)))
        return later

    def ctr(self, users, ads=slice(None)):
        """Click rate of users [B] on the given ads [C] (default all), [B, C]."""
        return self._rate(self.ctr_waves, self.ctr_bias, users, ads)

    def cvr(self, users, ads=slice(None)):
        """Conversion rate after a click, arguments and result as for `ctr`."""
        return self._rate(self.cvr_waves, self.cvr_bias, users, ads)

    def log_ecpm(self, users, ads):
        """What an exposure really brings on average: log of 1000 CTR CVR bid, [B, C].

        Args:
          users: integers [B].
          ads: integers [B, C].
        """
        rates = _log_sigmoid(self._at(self.ctr_waves, users, ads) + self.ctr_bias[ads])
        rates += _log_sigmoid(self._at(self.cvr_waves, users, ads) + self.cvr_bias[ads])
        return on_grid(np.log(1000) + rates, LOGIT_BITS) + self.log_bid[ads]

    def as_ranking_predicts(self, users, ads, log_ecpm):
        """Ranking's prediction before the noise of a visit, from the truth `log_ecpm`.

        Slope of calibration, a smooth error over users and ads, a bias of each ad; arguments and
        result as for `log_ecpm`.
        """
        p = self.parameters
        rates = _log_sigmoid(p.ctr_logit) + _log_sigmoid(p.cvr_logit)
        distance = log_ecpm - on_grid(np.log(1000 * p.bid_median) + rates, LOGIT_BITS)
        stretched = log_ecpm + (p.ranking_slope - 1) * distance
        return stretched + self._at(self.error_waves, users, ads) + self.ranking_bias[ads]

    def ranking_log_ecpm(self, users, ads):
        """Ranking's prediction before the noise of a visit: log of eCPM, float32 [B, C].

        Billing is by this prediction, so it is also what an oracle would sort by. Arguments as
        for `log_ecpm`.
        """
        users, ads = np.asarray(users), np.asarray(ads)
        result = np.empty(ads.shape, dtype=np.float32)
        for start in range(0, len(users), BLOCK_USERS):
            block = slice(start, start + BLOCK_USERS)
            true = self.log_ecpm(users[block], ads[block])
            result[block] = self.as_ranking_predicts(users[block], ads[block], true)
        return result

    @staticmethod
    def _rate(waves, bias, users, ads):
        logit = waves.user_factors[users] @ waves.ad_factors[ads].T + bias[ads]
        return on_grid(1 / (1 + np.exp(-logit)), RATE_BITS)

    @staticmethod
    def _at(waves, users, ads):
        # All ads and then the few: one matrix product beats gathering factors per pair.
        return np.take_along_axis(waves.all_ads(users), ads, axis=1)

    def interest_stand_in(self, users):
        """A production CTR model: the strongest waves only, no bid; scores [B, ads]."""
        waves = self.parameters.stand_in_ctr_waves
        return self.ctr_waves.all_ads(users, strongest=waves) + self.ctr_bias

    def revenue_stand_in(self, users):
        """A production Matching model: what a small twin tower could hold; scores [B, ads].

        An inner product of 2 x `stand_in_ctr_waves` + 2 x `stand_in_cvr_waves` numbers that
        sees bids and the ads' mean rates through noise, hence with weight 0.8.
        """
        cvr = self.cvr_waves.all_ads(users, strongest=self.parameters.stand_in_cvr_waves)
        ctr = self.ctr_waves.all_ads(users, strongest=self.parameters.stand_in_ctr_waves)
        return ctr + cvr + 0.8 * (self.ctr_bias + self.cvr_bias + self.log_bid)


def _keyed_normal(seed, stream, count):
    """Standard normal numbers of a world that no other draw of it depends on, float32 [count]."""
    return normal(visit_keys(seed, stream, 0, 0), np.arange(count))


def _interleave(first, second):
    """Columns of two [rows, waves] arrays in turn, on the grid of factors, [rows, 2 waves]."""
    return on_grid(np.stack([first, second], axis=-1).reshape(len(first), -1), FACTOR_BITS)


def _log_sigmoid(logit):
    # np.exp and np.log are vectorised where np.log1p and np.logaddexp are not. Logits stay far
    # from the overflow at -709.
    return -np.log(1 + np.exp(-logit))

"""What is true in the simulated world, and what no platform could know.

Four things read it: the Ranking stage, whose predictions it defines; the world's past, which
leaves clicks and bids in the features; the stand-ins for production models; and functions whose
name begins with `oracle`. No feature and no log contains it.
"""

from functools import partial

import numpy as np

BLOCK_USERS = 256  # user x ad matrices are made for this many users at a time


class Waves:
    r"""A rough function of user and ad that factorises: a sum of random cosine waves.

    f(u, a) = \sum_k s_k cos(p_k . u + q_k . a + phi_k),  s_k ~ k^{-0.6},
    phases p_k . u and q_k . a of standard deviation roughness (1 + k / 32)^{0.3}

    The power-law spectrum gives bigger models something left to learn at every size. Since
    cos(x + y) = cos x cos y - sin x sin y, the values of all pairs are one matrix product, and
    its first 2 k columns are the k strongest waves.

    Args:
      user_latents, ad_latents: float [users, width], [ads, width], of variance 1.
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
        user_phase = user_latents @ (rng.normal(size=(width, waves)) * frequency)
        ad_phase = ad_latents @ (rng.normal(size=(width, waves)) * frequency)
        user_phase = user_phase + rng.uniform(0, 2 * np.pi, waves)
        self.user_factors = _interleave(
            strength * np.cos(user_phase), -strength * np.sin(user_phase)
        )
        self.ad_factors = _interleave(np.cos(ad_phase), np.sin(ad_phase))

    def all_ads(self, users, strongest=None):
        """Values for users [B] and every ad, float32 [B, ads]; of the `strongest` waves only."""
        columns = None if strongest is None else 2 * strongest
        return self.user_factors[users, :columns] @ self.ad_factors[:, :columns].T


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
        self.ctr_bias = rng.normal(p.ctr_logit, p.ctr_bias_sd, p.ads).astype(np.float32)
        cvr_bias = rng.normal(0, p.cvr_bias_sd, p.ads)
        self.cvr_bias = (p.cvr_logit + cvr_bias).astype(np.float32)
        # Half of a bid's variance is the advertiser's; who converts easily bids less per
        # conversion.
        own, shared = rng.normal(size=p.ads), rng.normal(size=p.advertisers)[advertiser]
        spread = p.bid_sd * (own + shared) / np.sqrt(2)
        log_bid = np.log(p.bid_median) + spread - p.bid_cvr_slope * cvr_bias
        self.log_bid = log_bid.astype(np.float32)

    def ctr(self, users, ads=slice(None)):
        """Click rate of users [B] on the given ads [C] (default all), float32 [B, C]."""
        logit = self.ctr_waves.user_factors[users] @ self.ctr_waves.ad_factors[ads].T
        return np.exp(_log_sigmoid(logit + self.ctr_bias[ads]))

    def cvr(self, users, ads=slice(None)):
        """Conversion rate after a click, arguments and result as for `ctr`."""
        logit = self.cvr_waves.user_factors[users] @ self.cvr_waves.ad_factors[ads].T
        return np.exp(_log_sigmoid(logit + self.cvr_bias[ads]))

    def ranking_log_ecpm(self, users, ads):
        """Ranking's prediction before the noise of a visit: log of eCPM, float32 [B, C].

        eCPM = 1000 pCTR pCVR bid, per 1000 exposures; the prediction adds Ranking's systematic
        error. Billing is by this prediction, so it is also what an oracle would sort by.

        Args:
          users: integers [B].
          ads: integers [B, C].
        """
        users, ads = np.asarray(users), np.asarray(ads)
        result = np.empty(ads.shape, dtype=np.float32)
        for start in range(0, len(users), BLOCK_USERS):
            block = slice(start, start + BLOCK_USERS)
            result[block] = self._ranking_log_ecpm(users[block], ads[block])
        return result

    def _ranking_log_ecpm(self, users, ads):
        def at(waves):
            # All ads and then the few: one matrix product beats gathering factors per pair.
            return np.take_along_axis(waves.all_ads(users), ads, axis=1)

        return (
            np.log(np.float32(1000))
            + _log_sigmoid(at(self.ctr_waves) + self.ctr_bias[ads])
            + _log_sigmoid(at(self.cvr_waves) + self.cvr_bias[ads])
            + self.log_bid[ads]
            + at(self.error_waves)
        )

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
        return ctr + cvr + np.float32(0.8) * (self.ctr_bias + self.cvr_bias + self.log_bid)


def _interleave(first, second):
    """Columns of two [rows, waves] arrays in turn, float32 [rows, 2 waves]."""
    return np.stack([first, second], axis=-1).reshape(len(first), -1).astype(np.float32)


def _log_sigmoid(logit):
    # In float32 np.exp and np.log are vectorised; np.log1p and np.logaddexp are not. Logits stay
    # far from the overflow at -88.
    return -np.log(1 + np.exp(-logit))

"""The simulated world: users, ads and advertisers, and what a platform knows of them.

`world.truth` holds what no platform knows (lib/simulation/truth.py); everything else here could
stand in a production log.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import numpy as np

from lib.infra.grid import exact_product, on_grid, significant
from lib.simulation.parameters import WorldParameters
from lib.simulation.truth import LATENT_BITS, LOGIT_BITS, Truth


class World:
    """Users and ads, their features, and the truth about them.

    Args:
      parameters: WorldParameters.

    Attributes:
      parameters: as given.
      advertiser, category: of each ad, int32 [ads].
      truth: Truth; lib/simulation/truth.py names the few that may read it.
      organic: log of the eCPM that organic content is worth in a slot.
      present_users, present_ads: who and what is there in this period, integers.
      features: the declaration of all features, a list of dicts with keys name, side ('user' or
        'ad'), kind ('sparse', 'multi_valued', 'dense', 'statistical'), and where they apply
        buckets (ids lie in 0..buckets-1), width (of the embedding or the vector), length.

    >>> from lib.simulation.parameters import world_parameters
    >>> world = World(world_parameters("small"))
    >>> world.ad_features([5, 7])["ad_id"]
    array([5, 7], dtype=int32)
    """

    def __init__(self, parameters: WorldParameters) -> None:
        p = self.parameters = parameters
        streams = np.random.SeedSequence(p.seed).spawn(4)
        users, ads, truth, features = (np.random.default_rng(s) for s in streams)
        self.age_group = users.integers(p.age_groups, size=p.users, dtype=np.int32)
        self.region = users.integers(p.regions, size=p.users, dtype=np.int32)
        user_latents = _latents([self.age_group, self.region], [0.1, 0.2], p.latents, users)
        self.advertiser = _zipf(p.advertisers, p.advertiser_zipf, p.ads, ads)
        self.category = ads.integers(p.categories, size=p.ads, dtype=np.int32)
        ad_latents = _latents([self.category, self.advertiser], [0.3, 0.2], p.latents, ads)
        self.truth = Truth(user_latents, ad_latents, self.advertiser, p, truth)
        self.organic = self._organic_worth()
        self.present_users = np.arange(p.users - round(p.users * p.user_turnover))
        self.present_ads = np.arange(p.ads - round(p.ads * p.ad_turnover))
        self._user_features = self._observe_users(user_latents, features)
        self._ad_features = self._observe_ads(ad_latents, features)

    def later(self) -> World:
        """This world when models are tested, after `drift`, `ad_turnover` and `user_turnover`.

        Features and organic content stay: what was observed before is what models know. Ads and
        users that come bring a history from elsewhere, but no log of this system has seen them.

        Returns: World; this one where nothing changes.
        """
        p = self.parameters
        if not (p.drift or p.ad_turnover or p.user_turnover):
            return self
        later = self.turned(p.drift)
        later.present_users = self.present_users + p.users - len(self.present_users)
        later.present_ads = self.present_ads + p.ads - len(self.present_ads)
        return later

    def turned(self, drift: float) -> World:
        """This world with its truth turned by `drift` radians, as it was before or will be."""
        world = copy.copy(self)
        world.truth = self.truth.turned(drift)
        return world

    def wandered(self, radians: float, steps: int) -> World:
        """This world after a random walk of its tastes (`Truth.wandered`)."""
        world = copy.copy(self)
        world.truth = self.truth.wandered(radians, steps)
        return world

    def user_features(self, users: np.ndarray) -> dict[str, np.ndarray]:
        """Raw features of users [B], a dict of name -> array [B] or [B, width]."""
        return {name: values[users] for name, values in self._user_features.items()}

    def ad_features(self, ads: np.ndarray) -> dict[str, np.ndarray]:
        """Raw features of ads [B] (any shape), a dict of name -> array [B] or [B, width]."""
        return {name: values[ads] for name, values in self._ad_features.items()}

    def _organic_worth(self):
        """Log of the eCPM that organic content is worth to the platform, a constant.

        Set so that organic content would win `organic_share` of the slots if retrieval were
        perfect; it never moves with the models under test.
        """
        p, slots = self.parameters, len(self.parameters.position_discounts)
        users = np.arange(min(p.users, 256))
        ads = np.broadcast_to(np.arange(p.ads), (len(users), p.ads))
        best = np.sort(self.truth.ranking_log_ecpm(users, ads), axis=1)[:, : -slots - 1 : -1]
        worth = np.quantile(best + np.log(p.position_discounts), p.organic_share)
        return float(on_grid(worth, LOGIT_BITS))

    @cached_property
    def features(self) -> list[dict[str, Any]]:
        """The features' declaration (see the class)."""
        p = self.parameters
        id_like = {"kind": "sparse", "width": p.id_width}
        clicks = {"kind": "multi_valued", "width": p.id_width, "length": p.recent_clicks}
        vector = {"kind": "dense", "width": p.embedding_width}
        number = {"kind": "statistical", "width": 1}
        declared = {
            "user": {
                "user_id": {**id_like, "buckets": p.users},
                "age_group": {**id_like, "buckets": p.age_groups},
                "region": {**id_like, "buckets": p.regions},
                "clicked_categories": {**clicks, "buckets": p.categories},
                "user_embedding": vector,
                "user_impressions": number,
                "user_clicks": number,
            },
            "ad": {
                "ad_id": {**id_like, "buckets": p.ads},
                "advertiser_id": {**id_like, "buckets": p.advertisers},
                "category_id": {**id_like, "buckets": p.categories},
                "ad_embedding": vector,
                "bid": number,
                "ad_impressions": number,
                "ad_clicks": number,
                "ad_conversions": number,
            },
        }
        return [
            {"name": name, "side": side, **feature}
            for side, features in declared.items()
            for name, feature in features.items()
        ]

    def _observe_users(self, latents, rng):
        """Users' features; clicks come from the truth, as history does."""
        p = self.parameters
        shown = rng.choice(p.ads, size=min(200, p.ads), replace=False)
        ctr = self.truth.ctr(np.arange(p.users), shown)
        impressions = np.ceil(rng.lognormal(np.log(300), 1.2, p.users))
        return {
            "user_id": np.arange(p.users, dtype=np.int32),
            "age_group": self.age_group,
            "region": self.region,
            "clicked_categories": self._recent_clicks(shown, ctr, rng),
            "user_embedding": _embed(latents, p, rng),
            "user_impressions": impressions.astype(np.float32),
            "user_clicks": rng.poisson(impressions * ctr.mean(axis=1)).astype(np.float32),
        }

    def _recent_clicks(self, shown, ctr, rng):
        """Categories of the last clicks on `shown` ads, int32 [users, recent_clicks].

        Independent clicks in proportion to the true CTR: the inverse of its cumulative sum.
        """
        p = self.parameters
        cumulative = np.cumsum(ctr, axis=1)
        draws = rng.uniform(size=(p.users, p.recent_clicks)) * cumulative[:, -1:]
        clicked = np.stack([np.searchsorted(c, d) for c, d in zip(cumulative, draws, strict=True)])
        return self.category[shown[clicked]]

    def _observe_ads(self, latents, rng):
        """Ads' features; their statistics are counts from a past of very different lengths."""
        p = self.parameters
        audience = rng.choice(p.users, size=min(200, p.users), replace=False)
        impressions = np.ceil(rng.lognormal(np.log(3000), 2.0, p.ads))
        clicks = rng.poisson(impressions * self.truth.ctr(audience).mean(axis=0))
        conversions = rng.binomial(clicks, self.truth.cvr(audience).mean(axis=0))
        return {
            "ad_id": np.arange(p.ads, dtype=np.int32),
            "advertiser_id": self.advertiser,
            "category_id": self.category,
            "ad_embedding": _embed(latents, p, rng),
            "bid": significant(np.exp(self.truth.log_bid), 20).astype(np.float32),
            "ad_impressions": impressions.astype(np.float32),
            "ad_clicks": clicks.astype(np.float32),
            "ad_conversions": conversions.astype(np.float32),
        }


def _latents(groups, shares, width, rng):
    """Latents of variance 1; group i explains the share shares[i] of it. [items, width]."""
    latents = np.sqrt(1 - sum(shares)) * rng.normal(size=(len(groups[0]), width))
    for group, share in zip(groups, shares, strict=True):
        latents += np.sqrt(share) * rng.normal(size=(group.max() + 1, width))[group]
    return on_grid(latents, LATENT_BITS)


def _zipf(values, exponent, size, rng):
    """Integers in 0..values-1 with probability proportional to rank^-exponent, int32."""
    weight = np.arange(1, values + 1.0) ** -exponent
    return rng.choice(values, size=size, p=weight / weight.sum()).astype(np.int32)


def _embed(latents, parameters, rng):
    """Noisy projections of the latents, as a pre-trained model would supply them, float32."""
    p = parameters
    projection = rng.normal(size=(p.latents, p.embedding_width)) / np.sqrt(p.latents)
    noise = p.embedding_noise * rng.normal(size=(len(latents), p.embedding_width))
    projected = exact_product(latents, on_grid(projection, LATENT_BITS), LATENT_BITS)
    return on_grid(projected + noise, 16).astype(np.float32)

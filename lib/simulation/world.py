"""The simulated world: users, ads and advertisers, and what a platform knows of them.

`world.truth` holds what no platform knows (lib/simulation/truth.py); everything else here could
stand in a production log.
"""

from functools import cached_property
from itertools import pairwise

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from lib.simulation.truth import Truth


class WorldParameters(BaseModel):
    """Sizes and spreads of a simulated ad system; the defaults are world A.

    Standard deviations (`_sd`) are in logits for rates and in log units for money. A world must
    have a bottleneck that bites: the logits' spread, the noises and the few ads that
    Pre-ranking may keep are chosen so that a poor model loses visible revenue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Population
    seed: int = Field(0, ge=0, description="of everything in the world")
    users: int = Field(4000, ge=1, description="the unit of an A/B test's standard error")
    ads: int = Field(10_000, ge=10, description="inventory; the paper has 10^7")
    advertisers: int = Field(800, ge=1, description="share their ads by Zipf's law")
    advertiser_zipf: float = Field(1.3, ge=0, description="exponent: few advertisers, most ads")
    categories: int = Field(40, ge=1, description="of ads; they share a part of their latents")
    age_groups: int = Field(6, ge=1, description="of users; they share a part of their latents")
    regions: int = Field(30, ge=1, description="of users; they share a part of their latents")

    # Truth: what users do
    latents: int = Field(6, ge=1, description="numbers that describe a user, or an ad")
    roughness: float = Field(
        1.0, gt=0, description="radians; at 0.5 even 8 hidden units learn all that pays"
    )
    ctr_waves: int = Field(512, ge=1, description="the more, the longer bigger models gain")
    ctr_sd: float = Field(2.0, gt=0, description="user x ad spread of the CTR logit")
    ctr_logit: float = Field(-5.0, description="CTR logit of a mean ad: clicks are rare")
    ctr_bias_sd: float = Field(0.5, ge=0, description="spread of ads' own CTR logits")
    cvr_waves: int = Field(128, ge=1, description="conversions depend on users more smoothly")
    cvr_sd: float = Field(0.8, gt=0, description="user x ad spread of the CVR logit")
    cvr_logit: float = Field(-4.0, description="CVR logit of a mean ad")
    cvr_bias_sd: float = Field(0.7, ge=0, description="spread of ads' own CVR logits")
    bid_median: float = Field(10.0, gt=0, description="currency units per conversion")
    bid_sd: float = Field(1.0, ge=0, description="bids are log-normal: few pay most")
    bid_cvr_slope: float = Field(0.5, description="who converts easily bids less per conversion")

    # Features: what the platform sees of it
    embedding_width: int = Field(12, ge=1, description="projections of the latents, per side")
    embedding_noise: float = Field(0.1, ge=0, description="their noise, latents have sd 1")
    recent_clicks: int = Field(10, ge=1, description="length of a user's list of categories")
    id_width: int = Field(8, ge=1, description="embedding width declared for sparse features")

    # Matching: inventory -> candidates
    matching_ads: int = Field(1000, ge=1, description="ads kept per user; the paper has 10^3")
    matching_interest_share: float = Field(0.27, ge=0, le=1, description="of them, by CTR alone")
    matching_random_share: float = Field(0.13, ge=0, le=1, description="of them, by a rule")
    stand_in_ctr_waves: int = Field(24, ge=1, description="what Matching's stand-in holds")
    stand_in_cvr_waves: int = Field(8, ge=1, description="what Matching's stand-in holds")
    drop_rate: float = Field(
        0.2, ge=0, lt=1, description="candidates absent from a visit: budgets, frequency caps"
    )

    # Pre-ranking: candidates -> Ranking
    pre_ranking_ads: int = Field(50, ge=1, description="ads kept per visit: the bottleneck")
    pre_ranking_interest_share: float = Field(0.3, ge=0, le=1, description="of them, by CTR")

    # Ranking and Mix-ranking
    ranking_error_waves: int = Field(64, ge=1, description="roughness of Ranking's error")
    ranking_error_sd: float = Field(0.35, gt=0, description="Ranking's error, log eCPM")
    ranking_noise_sd: float = Field(0.2, ge=0, description="what differs between visits, log eCPM")
    mix_queue: int = Field(10, ge=1, description="ads that reach Mix-ranking")
    mix_noise_sd: float = Field(0.3, ge=0, description="user experience in Mix-ranking, log eCPM")
    position_discounts: tuple[PositiveFloat, ...] = Field(
        (1.0, 0.8, 0.65), min_length=1, description="attention at each ad slot of a visit"
    )
    organic_share: float = Field(
        0.3, gt=0, lt=1, description="slots that organic content wins were retrieval perfect"
    )
    organic_sd: float = Field(0.5, ge=0, description="spread of organic content's worth, log eCPM")

    @model_validator(mode="after")
    def _stages_narrow(self):
        stages = {
            "ads": self.ads,
            "matching_ads": self.matching_ads,
            "pre_ranking_ads": self.pre_ranking_ads,
            "mix_queue": self.mix_queue,
            "position_discounts": len(self.position_discounts),
        }
        for (wider, more), (narrower, fewer) in pairwise(stages.items()):
            if fewer > more:
                raise ValueError(f"{narrower} must not exceed {wider} = {more}; got {fewer}")
        # A quarter: then a visit whose drops leave too few ads is out of the question.
        limit = int(self.matching_ads * (1 - self.drop_rate) / 4)
        if self.pre_ranking_ads > limit:
            raise ValueError(
                "pre_ranking_ads must be at most a quarter of what visits keep of matching_ads, "
                f"{limit}; got {self.pre_ranking_ads}"
            )
        if self.matching_interest_share + self.matching_random_share > 1:
            raise ValueError(
                "matching_interest_share + matching_random_share must be at most 1; got "
                f"{self.matching_interest_share} + {self.matching_random_share}"
            )
        return self


PRESETS = {
    "A": {},
    "B": {"bid_sd": 1.6},  # heavier bids: revenue hangs on few ads
    "C": {"bid_sd": 0.4},  # nearly equal bids: revenue follows clicks
    "D": {"pre_ranking_ads": 20, "pre_ranking_interest_share": 0.25},  # the tightest bottleneck
    # Matching keeps 2 % of the inventory, not 10 %: there too a better model earns more.
    "M": {"matching_ads": 200, "pre_ranking_ads": 20, "pre_ranking_interest_share": 0.25},
    "small": {  # for tests and first tries
        "users": 300,
        "ads": 800,
        "advertisers": 60,
        "categories": 12,
        "ctr_waves": 128,
        "cvr_waves": 32,
        "matching_ads": 200,
        "pre_ranking_ads": 20,
        "pre_ranking_interest_share": 0.25,
    },
}


def world_parameters(preset, **changes):
    """Parameters of a named world, with changes.

    Args:
      preset: "A", "B", "C", "D", "M" or "small" (see PRESETS).
      changes: any WorldParameters field.

    Raises: ValueError for an unknown preset, field or value.

    >>> world_parameters("D", seed=3).pre_ranking_ads
    20
    """
    if preset not in PRESETS:
        raise ValueError(f"world_parameters: preset must be in {list(PRESETS)}; got {preset!r}")
    return WorldParameters(**{**PRESETS[preset], **changes})


class World:
    """Users and ads, their features, and the truth about them.

    Args:
      parameters: WorldParameters.

    Attributes:
      parameters: as given.
      advertiser, category: of each ad, int32 [ads].
      truth: Truth; lib/simulation/truth.py names the few that may read it.
      organic: log of the eCPM that organic content is worth in a slot.
      features: the declaration of all features, a list of dicts with keys name, side ('user' or
        'ad'), kind ('sparse', 'multi_valued', 'dense', 'statistical'), and where they apply
        buckets (ids lie in 0..buckets-1), width (of the embedding or the vector), length.

    >>> world = World(world_parameters("small"))
    >>> world.ad_features([5, 7])["ad_id"]
    array([5, 7], dtype=int32)
    """

    def __init__(self, parameters):
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
        self._user_features = self._observe_users(user_latents, features)
        self._ad_features = self._observe_ads(ad_latents, features)

    def user_features(self, users):
        """Raw features of users [B], a dict of name -> array [B] or [B, width]."""
        return {name: values[users] for name, values in self._user_features.items()}

    def ad_features(self, ads):
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
        return float(np.quantile(best + np.log(p.position_discounts), p.organic_share))

    @cached_property
    def features(self):
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
        cumulative = np.cumsum(ctr, axis=1, dtype=np.float64)
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
            "bid": np.exp(self.truth.log_bid),
            "ad_impressions": impressions.astype(np.float32),
            "ad_clicks": clicks.astype(np.float32),
            "ad_conversions": conversions.astype(np.float32),
        }


def _latents(groups, shares, width, rng):
    """Latents of variance 1; group i explains the share shares[i] of it. [items, width]."""
    latents = np.sqrt(1 - sum(shares)) * rng.normal(size=(len(groups[0]), width))
    for group, share in zip(groups, shares, strict=True):
        latents += np.sqrt(share) * rng.normal(size=(group.max() + 1, width))[group]
    return latents


def _zipf(values, exponent, size, rng):
    """Integers in 0..values-1 with probability proportional to rank^-exponent, int32."""
    weight = np.arange(1, values + 1.0) ** -exponent
    return rng.choice(values, size=size, p=weight / weight.sum()).astype(np.int32)


def _embed(latents, parameters, rng):
    """Noisy projections of the latents, as a pre-trained model would supply them, float32."""
    p = parameters
    projection = rng.normal(size=(p.latents, p.embedding_width)) / np.sqrt(p.latents)
    noise = p.embedding_noise * rng.normal(size=(len(latents), p.embedding_width))
    return (latents @ projection + noise).astype(np.float32)

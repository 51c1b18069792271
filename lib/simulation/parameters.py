"""What a simulated world is made of: sizes, spreads, and its assumptions.

Every assumption has a sensitivity parameter (a "dial") that weakens it; its default keeps it.
"""

from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator


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
    ranking_slope: float = Field(
        1.0, gt=0, description="predicted over true log eCPM; 1: calibrated"
    )
    ranking_bias_sd: float = Field(0.0, ge=0, description="Ranking's bias of each ad, log eCPM")
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

    # Budgets, logs, time: all off unless a world says otherwise
    budget_tightness: float = Field(
        0.0, ge=0, description="unlimited demand over the sum of all budgets; 0: no budgets"
    )
    budget_sd: float = Field(1.0, ge=0, description="of the log budget per ad: heavy tails")
    logged_losers: int = Field(
        4, ge=0, le=8, description="of a logged impression's ten ads, Pre-ranking's losers"
    )
    drift: float = Field(
        0.0, ge=0, description="radians that the truth's waves turn between log and test"
    )
    ad_turnover: float = Field(
        0.0, ge=0, lt=1, description="share of ads that leave and come between log and test"
    )
    user_turnover: float = Field(0.0, ge=0, lt=1, description="the same of users")

    @property
    def pre_ranking_slots(self) -> tuple[int, int]:
        """How many ads Pre-ranking's revenue and interest pathways send on, (int, int)."""
        interest = round(self.pre_ranking_ads * self.pre_ranking_interest_share)
        return self.pre_ranking_ads - interest, interest

    @model_validator(mode="after")
    def _stages_narrow(self):
        stages = {
            "ads x (1 - ad_turnover)" if self.ad_turnover else "ads": self.ads
            - round(self.ads * self.ad_turnover),
            "matching_ads": self.matching_ads,
            "pre_ranking_ads": self.pre_ranking_ads,
            "mix_queue": self.mix_queue,
            "position_discounts": len(self.position_discounts),
        }
        if round(self.users * self.user_turnover) >= self.users:
            raise ValueError(
                f"user_turnover must leave a user of {self.users}; got {self.user_turnover}"
            )
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


def world_parameters(preset: str, **changes: Any) -> WorldParameters:
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

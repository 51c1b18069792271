"""A stream of impressions and clicks whose exponents are known by construction.

What a click model can gain from more data, more embedding rows or wider embeddings hangs on three
properties of the data. Here each is a parameter:

popularity   the i-th most popular id of a field is drawn with p_i = i^-a - (i + 1)^-a, so that the
             ids beyond the first R make up (R + 1)^-a of the impressions;
spectrum     the click logit holds the dot products of the latent vectors of all pairs of fields;
             the k-th factor's share of their variance is k^-b - (k + 1)^-b, so that the factors
             beyond the first D make up (D + 1)^-b of it;
drift        an id's effect and vector at rows s and t have the correlation exp(-|t - s| / drift).

Both laws are cut, at the last id V and the last factor K, and divided by their sum: the shares
become ((R + 1)^-a - c) / (1 - c) with c = (V + 1)^-a, and likewise for K. A cut law is a power law
with the same exponent plus a constant. (To add the remainder to the last id or factor would make it
one of the largest.)

An id needs a number of looks before its effect is known: where that number is bounded, the excess
log loss in samples goes as n^-(a / (1 + a)); `ideal_learner` has the proof, and a stream for which
the whole curve is known. Hashed tables, and vectors that take many looks, get there later.

Rows are functions of (seed, block): any part of the stream can be read, in any order, without
state. What is decided by comparing floats lies on a grid, and sums are taken in a fixed order, so
that the stream is the same on every processor (`lib.infra.grid`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.optimize import brentq
from scipy.special import expit, ndtri, xlog1py, xlogy

from lib.infra.grid import exact_product, on_grid, significant

BLOCK = 2**16  # rows drawn together
PILOT = 2**16  # rows that fix the scales
_CHUNK = 2**12  # rows whose vectors fit into a processor's cache
_PROBABILITY_BITS = 20
_STEPS = 2**16  # of a turn, and of the normal distribution
_ANGLES = 2 * np.pi * (np.arange(_STEPS) + 0.5) / _STEPS
_COSINE = on_grid(np.cos(_ANGLES), 16).astype(np.float32)
_SINE = on_grid(np.sin(_ANGLES), 16).astype(np.float32)
_NORMAL = on_grid(ndtri((np.arange(_STEPS) + 0.5) / _STEPS), 12).astype(np.float32)


class ClickStreamParameters(BaseModel):
    """Sizes, laws and scales of a click stream.

    Scales. `logit_sd` is such that the truth's normalised entropy is about .75: the best published
    models reach .770 on Criteo. Of what they gain over the base rate there, logistic regression
    gains four fifths, on MovieLens three quarters (BARS); interactions' share of the logit's
    variance is somewhat above the rest of that, since they are what embeddings are for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(0, ge=0, description="of everything in the stream")
    fields: int = Field(8, ge=2, description="the first half describes the user, the rest the ad")
    values: int = Field(2**30, ge=2, lt=2**31, description="ids of a field; so many: no cut felt")
    popularity_exponent: float = Field(0.5, gt=0, le=4, description="a: tail (R + 1)^-a")
    true_width: int = Field(32, ge=1, description="K, factors of the latent vectors")
    spectrum_exponent: float = Field(1.0, gt=0, le=8, description="b: tail (D + 1)^-b")
    profiles: int = Field(
        2**16, ge=1, description="different effects and vectors a field; see ClickStream"
    )
    dense: int = Field(4, ge=0, description="dense features, standard normal")
    dense_waves: int = Field(16, ge=1, description="the dense part's effect is their sum")
    base_rate: float = Field(0.1, gt=0, lt=1, description="mean probability of the pilot")
    logit_sd: float = Field(1.5, gt=0, description="of the click logit without noise")
    interaction_share: float = Field(0.3, ge=0, le=1, description="of the logit's variance")
    dense_share: float = Field(0.2, ge=0, le=1, description="of the logit's variance")
    drift_rows: float = Field(0.0, ge=0, description="rows until correlation 1/e; 0: no drift")
    noise: float = Field(0.0, ge=0, le=1, description="share clicked by a coin of the base rate")
    bid_sd: float = Field(1.0, ge=0, description="of the log bid, as in world A")
    horizon: int = Field(10**7, ge=1, description="rows over which the pilot is spread")

    @model_validator(mode="after")
    def _shares(self):
        if self.interaction_share + self.dense_share > 1:
            raise ValueError(
                "interaction_share + dense_share must be at most 1; got "
                f"{self.interaction_share} + {self.dense_share}"
            )
        if self.dense == 0 and self.dense_share > 0:
            raise ValueError(f"dense_share must be 0 where dense is 0; got {self.dense_share}")
        return self


class StreamField(NamedTuple):
    """An id field: its ids lie in 0..values-1, `slots` in each row."""

    name: str
    values: int
    slots: int = 1


class Impressions(NamedTuple):
    """Rows of the stream, in order."""

    labels: np.ndarray  # uint8 [n], 1: clicked
    ids: np.ndarray  # int32 [n, fields]
    dense: np.ndarray  # float32 [n, dense]
    probability: np.ndarray  # float32 [n], the true click probability, exact


class Auctions(NamedTuple):
    """Requests with the candidates of each; request j's rows are j * candidates onwards."""

    impressions: Impressions  # [requests * candidates]: every candidate, as if it were shown
    bids: np.ndarray  # float32 [requests, candidates], per click


class Estimate(NamedTuple):
    """A mean over sampled rows and its standard error."""

    mean: float
    standard_error: float


class ClickStream:
    """Impressions with true click probabilities, in time order, as many as wanted.

    logit = bias + effects of the ids + dot products of their vectors over all pairs of fields
            + a rough function of the dense features
    p     = (1 - noise) sigmoid(logit) + noise * base_rate, rounded to multiples of 2^-20

    An id's effect and vector are those of one of `profiles` profiles, the id of rank i has number
    i mod profiles. No model can see which ids share one: ids are scrambled ranks. Memory is then
    4 (K + 1) bytes * fields * profiles (doubled by drift), not times values.

    Drift: profile j's effect and vector turn as A cos(w_j t) + B sin(w_j t) with A, B independent
    and w_j ~ Cauchy(0, 1 / drift_rows), t in rows. Over profiles the covariance at a distance is
    E cos(w (t - s)) = exp(-|t - s| / drift_rows), without a state to carry along.

    Each factor has its share of the interactions' variance, the three parts have the variances that
    `parameters` ask for, and the mean click probability is `base_rate`: over PILOT rows spread
    evenly over the first `horizon` ones, for every seed. (Few ids make up most of the impressions:
    the same scales would give another spread in each seed.) The parts are nearly uncorrelated, and
    so are the factors, not exactly: an interaction with a very frequent id is a first-order effect.

    Args:
      parameters: ClickStreamParameters.

    Attributes:
      parameters; fields, a tuple of StreamField; dense, the names of the dense features.
      user_fields: how many of the fields, the first ones, describe the user.
      scales: what the pilot fixed: the bias and the factors of the three parts, a dict of floats.

    >>> stream = ClickStream(ClickStreamParameters(profiles=1000, values=10**6))
    >>> rows = stream.rows(70_000, 70_003)
    >>> rows.ids.shape, rows.dense.shape, rows.labels.dtype, float(rows.probability.max()) < 1
    ((3, 8), (3, 4), dtype('uint8'), True)
    >>> stream.fields[-1]
    StreamField(name='ad_4', values=1000000, slots=1)
    """

    def __init__(self, parameters: ClickStreamParameters):
        self.parameters = parameters
        half = parameters.fields // 2
        names = [f"user_{i + 1}" for i in range(half)]
        names += [f"ad_{i + 1}" for i in range(parameters.fields - half)]
        self.fields = tuple(StreamField(name, parameters.values) for name in names)
        self.user_fields = half
        self.dense = tuple(f"dense_{i + 1}" for i in range(parameters.dense))
        self._scrambling = [
            [int(word) for word in self._words(2, "ids", field)] for field in range(len(names))
        ]
        self._draw_profiles()
        self._draw_waves()
        self.scales = self._fixed_scales()

    def rows(self, start: int, stop: int) -> Impressions:
        """Rows start..stop-1 of the stream.

        Raises: ValueError unless 0 <= start <= stop.
        """
        if not 0 <= start <= stop:
            raise ValueError(
                f"rows: start and stop must obey 0 <= start <= stop; got {start}, {stop}"
            )
        blocks = [
            _cut(self._block(first), max(start - first, 0), stop - first)
            for first in range(start // BLOCK * BLOCK, stop, BLOCK)
        ]
        if not blocks:
            blocks = [_cut(self._block(0), 0, 0)]
        return Impressions(*map(np.concatenate, zip(*blocks)))

    def blocks(self, start: int, stop: int) -> Iterator[Impressions]:
        """The same rows in blocks of at most BLOCK, in bounded memory."""
        for first in range(start // BLOCK * BLOCK, stop, BLOCK):
            yield self.rows(max(first, start), min(first + BLOCK, stop))

    def auctions(self, count: int, candidates: int, at: int, *, seed: int = 0) -> Auctions:
        """Requests at row time `at`, each with ads drawn by their popularity, and bids.

        A request's candidates share the user's fields and the dense features. Bids are log-normal
        with median 1 and independent of everything else.

        Args:
          count: requests. candidates: ads of each. at: row at which all take place.
          seed: other requests at the same time.

        Raises: ValueError for count or candidates below 1 or a negative time.
        """
        limits = {"count": (count, 1), "candidates": (candidates, 1), "at": (at, 0)}
        for name, (value, least) in limits.items():
            if value < least:
                raise ValueError(f"auctions: {name} must be at least {least}; got {value}")
        n = count * candidates
        ranks = self._ranks(self._words((len(self.fields), n), "auction ids", at, seed))
        request = np.repeat(np.arange(count) * candidates, candidates)
        ranks[: self.user_fields] = ranks[: self.user_fields, request]
        dense = self._normals("auction dense", count * self.parameters.dense, at, seed)
        dense = np.repeat(dense.reshape(count, -1), candidates, axis=0)
        rows = self._impressions(
            ranks, dense, np.full(n, float(at)), self._words(n, "auction clicks", at, seed)
        )
        bids = np.exp(
            self.parameters.bid_sd * self._normals("auction bids", n, at, seed).astype(np.float64)
        )
        return Auctions(rows, significant(bids, 20).astype(np.float32).reshape(count, candidates))

    def tail(self, ids: ArrayLike) -> np.ndarray:
        """Share of the impressions whose id of a field is none of its `ids` most popular ones."""
        p = self.parameters
        return _tail(ids, p.popularity_exponent, p.values)

    def factors_left(self, width: ArrayLike) -> np.ndarray:
        """Share of the interactions' variance that lies in no one of the first `width` factors."""
        return _tail(width, self.parameters.spectrum_exponent, self.parameters.true_width)

    def base_entropy(self) -> float:
        """Entropy of `base_rate`, nats: the log loss of who knows only that.

        By drift the mean click rate of a part of the stream may be another.
        """
        return float(_entropy(self.parameters.base_rate))

    def bayes_log_loss(self, start: int = 0, stop: int = 2**18) -> Estimate:
        """Log loss of the true probabilities: the mean of their entropies over these rows, nats.

        Exact for these rows; the standard error is for what they stand for, rows like them.

        Raises: ValueError for fewer than 2 rows.
        """
        if not stop - start > 1:
            raise ValueError(f"bayes_log_loss: needs at least 2 rows; got {start}..{stop}")
        entropies = np.concatenate(
            [_entropy(rows.probability.astype(np.float64)) for rows in self.blocks(start, stop)]
        )
        return Estimate(
            float(entropies.mean()), float(entropies.std(ddof=1) / np.sqrt(len(entropies)))
        )

    def _words(self, shape, *key):
        """Random 64-bit words for a key of numbers and names."""
        key = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in key]
        generator = np.random.SFC64(np.random.SeedSequence([self.parameters.seed, *key]))
        return generator.random_raw(int(np.prod(shape))).reshape(shape)

    def _normals(self, name, count, *key):
        """Standard normal numbers, float32 [count]: the 2^16 quantiles of their distribution."""
        words = self._words(-(-count // 4), name, *key)
        # Little-endian everywhere: the same four parts of a word on every processor.
        return _NORMAL[words.astype("<u8", copy=False).view("<u2")[:count]]

    def _draw_profiles(self):
        p = self.parameters
        variances = -np.diff(_tail(np.arange(p.true_width + 1), p.spectrum_exponent, p.true_width))
        # A product of two numbers of this spread has the k-th variance.
        sd = significant(variances**0.25, 20).astype(np.float32)
        self._profiles = []
        for field in range(p.fields):
            phases = []
            for phase in range(2 if p.drift_rows else 1):
                drawn = self._normals(
                    "profiles", p.profiles * (p.true_width + 1), field, phase
                ).reshape(p.profiles, -1)
                phases.append((np.ascontiguousarray(drawn[:, 0]), drawn[:, 1:] * sd))
            self._profiles.append(phases)
        if p.drift_rows:
            words = self._words((p.fields, p.profiles), "turns")
            cauchy = np.tan(np.pi * ((words >> np.uint64(11)) * 2.0**-53 - 0.5))
            # 20 bits times a row's number below 2^33 is exact.
            self._turns = significant(cauchy / (2 * np.pi * p.drift_rows), 20)

    def _draw_waves(self):
        p = self.parameters
        if not p.dense:
            return
        count = np.arange(1, p.dense_waves + 1)
        directions = self._normals("waves", p.dense * p.dense_waves).reshape(p.dense, -1)
        # In turns per unit; the smaller waves are the shorter ones.
        self._frequencies = on_grid(directions * np.sqrt(count) / 2 / (2 * np.pi), 16)
        self._offsets = (self._words(p.dense_waves, "offsets") >> np.uint64(48)) * 2.0**-16
        amplitudes = np.sqrt(-np.diff(_tail(np.arange(p.dense_waves + 1), 1.0, p.dense_waves)))
        self._amplitudes = on_grid(amplitudes, 16)[:, None]

    def _even_out(self, ranks, times):
        """Gives each factor its share of the variance in this stream, not in the mean of streams.

        The vectors of a few frequent ids make up much of a factor's variance.
        """
        p = self.parameters
        factors = [
            self._factors(ranks[:, i : i + _CHUNK], times[i : i + _CHUNK])[1]
            for i in range(0, len(times), _CHUNK)
        ]
        found = np.concatenate(factors).astype(np.float64).var(axis=0)
        wanted = -np.diff(_tail(np.arange(p.true_width + 1), p.spectrum_exponent, p.true_width))
        # A product of two components has the square of their scale.
        scale = significant((wanted / np.where(found > 0, found, wanted)) ** 0.25, 20)
        for phases in self._profiles:
            for _, vectors in phases:
                vectors *= scale.astype(np.float32)

    def _fixed_scales(self):
        p = self.parameters
        words = self._words((p.fields, PILOT), "pilot ids")
        dense = self._normals("pilot dense", PILOT * p.dense).reshape(PILOT, -1)
        times = np.floor(np.arange(PILOT) * (p.horizon / PILOT))
        ranks = self._ranks(words)
        self._even_out(ranks, times)
        parts = np.stack(self._parts(ranks, dense, times))
        shares = np.array(
            [1 - p.interaction_share - p.dense_share, p.interaction_share, p.dense_share]
        )
        spread = parts.std(axis=1)
        scale = np.sqrt(np.maximum(shares, 0)) * p.logit_sd / np.where(spread > 0, spread, 1)
        scale = significant(scale, 20)
        logits = scale @ parts
        bias = brentq(lambda bias: expit(logits + bias).mean() - p.base_rate, -60, 60)
        names = ("bias", "effects", "interactions", "dense")
        return dict(zip(names, map(float, (on_grid(bias, 16), *scale))))

    def _block(self, first):
        p = self.parameters
        block = first // BLOCK
        ranks = self._ranks(self._words((p.fields, BLOCK), "ids of rows", block))
        dense = self._normals("dense of rows", BLOCK * p.dense, block).reshape(BLOCK, p.dense)
        times = np.arange(first, first + BLOCK, dtype=np.float64)
        return self._impressions(ranks, dense, times, self._words(BLOCK, "clicks of rows", block))

    def _impressions(self, ranks, dense, times, words):
        p = self.parameters
        effects, interactions, waves = self._parts(ranks, dense, times)
        scale = self.scales
        # Element by element, and no matrix product: the same order of sums everywhere.
        logits = scale["bias"] + scale["effects"] * effects
        logits = logits + scale["interactions"] * interactions + scale["dense"] * waves
        probability = (1 - p.noise) * expit(logits) + p.noise * p.base_rate
        whole = np.rint(probability * 2**_PROBABILITY_BITS)
        whole = np.clip(whole, 1, 2**_PROBABILITY_BITS - 1)
        labels = (words >> np.uint64(64 - _PROBABILITY_BITS)) < whole.astype(np.uint64)
        ids = np.empty(ranks.shape[::-1], np.int32)
        for field, (keys, own) in enumerate(zip(self._scrambling, ranks)):
            ids[:, field] = _scramble(own, p.values, keys)
        return Impressions(
            labels.astype(np.uint8),
            ids,
            dense,
            (whole * 2.0**-_PROBABILITY_BITS).astype(np.float32),
        )

    def _ranks(self, words):
        """Ranks 0..values-1 by popularity, int64: the tail's law solved for the rank."""
        p = self.parameters
        cut = (p.values + 1.0) ** -p.popularity_exponent
        u = ((words >> np.uint64(11)) + 0.5) * 2.0**-53
        ranks = (cut + (1 - cut) * u) ** (-1 / p.popularity_exponent)
        return np.minimum(ranks.astype(np.int64), p.values) - 1

    def _parts(self, ranks, dense, times):
        """Effects, interactions and dense part before scaling, each float64 [n]."""
        parts = [
            self._chunk(ranks[:, i : i + _CHUNK], dense[i : i + _CHUNK], times[i : i + _CHUNK])
            for i in range(0, len(times), _CHUNK)
        ]
        return [np.concatenate(part) for part in zip(*parts)]

    def _chunk(self, ranks, dense, times):
        n, p = len(times), self.parameters
        effects, factors = self._factors(ranks, times)
        interactions = _sum_of_columns(factors).astype(np.float64)
        if not p.dense:
            return effects, interactions, np.zeros(n)
        turns = exact_product(dense.astype(np.float64), self._frequencies, 16) + self._offsets
        waves = _COSINE.take(((turns - np.floor(turns)) * _STEPS).astype(np.int64))
        waves = exact_product(waves.astype(np.float64), self._amplitudes, 16)[:, 0]
        return effects, interactions, waves

    def _factors(self, ranks, times):
        """Sums of effects [n], and over all pairs of fields of products in each factor [n, K]."""
        n, p = len(times), self.parameters
        effects = np.zeros(n)
        total = np.zeros((n, p.true_width), np.float32)
        squares = np.zeros_like(total)
        for field, phases in enumerate(self._profiles):
            rows = ranks[field] % p.profiles
            if p.drift_rows:
                (effect, vector), (effect_b, vector_b) = (
                    (effects_.take(rows), vectors.take(rows, axis=0))
                    for effects_, vectors in phases
                )
                turns = self._turns[field].take(rows) * times
                angle = ((turns - np.floor(turns)) * _STEPS).astype(np.int64)
                cosine, sine = _COSINE.take(angle), _SINE.take(angle)
                effect = effect * cosine + effect_b * sine
                vector *= cosine[:, None]
                vector_b *= sine[:, None]
                vector += vector_b
            else:
                ((table, vectors),) = phases
                effect, vector = table.take(rows), vectors.take(rows, axis=0)
            effects += effect
            total += vector
            vector *= vector
            squares += vector
        total *= total
        total -= squares
        total *= np.float32(0.5)
        return effects, total


def auction_revenue(probability: ArrayLike, auctions: Auctions) -> np.ndarray:
    """What each request earns where the highest bid x probability wins and pays its bid per click.

    Args:
      probability: a model's click probabilities, [..., requests * candidates] in the order of
        `auctions.impressions`, for one model or several. Equal products: the first wins.
      auctions: Auctions.

    Returns: bid x true probability of each request's winner, float64 [..., requests]. Only ratios
      to the truth's revenue, `auction_revenue(auctions.impressions.probability, auctions)`, mean
      something: bids have no currency.

    Raises: ValueError for another number of probabilities.
    """
    probability = np.asarray(probability, np.float64)
    requests, candidates = auctions.bids.shape
    if probability.ndim == 0 or probability.shape[-1] != requests * candidates:
        raise ValueError(
            "auction_revenue: probability must have one value for each of the "
            f"{requests} x {candidates} candidates on its last axis; got shape {probability.shape}"
        )
    bids = auctions.bids.astype(np.float64)
    winners = (probability.reshape(*probability.shape[:-1], requests, candidates) * bids).argmax(-1)
    worth = bids * auctions.impressions.probability.reshape(requests, candidates)
    return worth[np.arange(requests), winners]


def _cut(rows, start, stop):
    return Impressions(*(part[start:stop] for part in rows))


def _tail(count, exponent, last):
    """Share beyond the first `count` of `last` under the cut law, float64."""
    cut = (last + 1.0) ** -exponent
    return np.maximum((np.asarray(count, np.float64) + 1) ** -exponent - cut, 0) / (1 - cut)


def _entropy(p):
    """Entropy of a coin, nats."""
    return -(xlogy(p, p) + xlog1py(1 - p, -p))


def _sum_of_columns(x):
    """Sum over the last axis of [n, k] by halves: a fixed order. Overwrites x."""
    width = x.shape[1]
    while width > 1:
        half = width // 2
        x[:, :half] += x[:, width - half : width]
        width -= half
    return x[:, 0]


def _scramble(ranks, values, keys):
    """A bijection of 0..values-1 that looks random, int64.

    Shifts and odd factors permute 0..2^k-1; what falls beyond the last value goes round again.
    """
    x = _mixed(ranks, values, keys)
    while (over := x >= values).any():
        x[over] = _mixed(x[over], values, keys)
    return x


def _mixed(x, values, keys):
    bits = int(values - 1).bit_length()
    mask = 2**bits - 1
    for key in keys:
        x = (x ^ (key >> (64 - bits))) * ((key | 1) & mask) & mask
        x ^= x >> (bits - bits // 2)
    return x

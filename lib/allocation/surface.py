r"""Two stages whose lifts need not add up: sizes and the number of candidates decided together.

Eq 9 adds the lifts of Matching and Pre-ranking, each tested alone, and leaves the number of
candidates between them as it is. Here lift is a surface over all three, fitted from few arms of a
test and searched whole:

    lift = a_i + b_j + g(c) + (\gamma_1 a_i b_j + \gamma_2 a_i g(c) + \gamma_3 b_j g(c)) / s
    g(c) = A (1 - (c / c_0)^{-\kappa})

a_i and b_j are what size i of Matching and size j of Pre-ranking are worth alone, g what c
candidates instead of today's c_0 are, which saturates. Each pair interacts by one number, as in
Tukey's test of additivity (1949, Biometrics 5): with all of them 0 the lifts add up. s, the largest
lift measured, leaves them without a unit.

Arms are rows of three indices (i, j, k): size of Matching, of Pre-ranking, candidates; `today` is
the arm that all lifts count from. Lifts are fractions of today's revenue, errors their standard
errors, costs in any unit of machines or money.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import approx_fprime, least_squares

# Without evidence lifts add up: standard deviation of each interaction. At 1 two main effects as
# large as the largest add as much again by their interaction, so that 3 excludes nothing likely.
INTERACTION_SD = 3.0
EXPONENTS = (0.05, 4.0)  # bounds of the candidates' exponent: from a logarithm to a step
# What rules know of the lifts, by the names that tables and figures use.
EQ_9 = "Eq 9: lifts of sizes added"
ALL_PAIRS = "all pairs of sizes tested"
ADDED = "lifts of sizes and candidates added"
FITTED = "surface fitted from few arms"
EVERY_ARM = "every arm tested"


@dataclasses.dataclass(frozen=True)
class Surface:
    """A fitted surface.

    Attributes:
      matching, pre_ranking: lift of each size alone, [I], [J]; 0 of today's.
      candidates: lift of each number of candidates alone, [K].
      interactions: (Matching x Pre-ranking, Matching x candidates, Pre-ranking x candidates).
      exponent: of the candidates' curve.
      scale: the largest lift measured, that interactions count in.
      today: arm that lifts count from; counts: candidates, [K].
    """

    matching: np.ndarray
    pre_ranking: np.ndarray
    candidates: np.ndarray
    interactions: np.ndarray
    exponent: float
    scale: float
    today: tuple[int, int, int]
    counts: np.ndarray

    @property
    def lift(self) -> np.ndarray:
        """Of every combination, [I, J, K]."""
        return _lift(
            self.matching, self.pre_ranking, self.candidates, self.interactions / self.scale
        )


class Knowledge(NamedTuple):
    """What a rule knows of the lifts."""

    lift: np.ndarray  # [I, J, K]; -inf where it would not look
    arms: int  # tested to know it, today's left out


def single_changes(shape: tuple[int, int, int], today: tuple[int, int, int]) -> np.ndarray:
    """Arms that differ from today's in one place: what main effects are measured by.

    Args:
      shape: numbers of sizes of Matching, of Pre-ranking, and of candidates.

    >>> single_changes((2, 2, 1), (0, 0, 0)).tolist()
    [[1, 0, 0], [0, 1, 0]]
    """
    return np.array(
        [
            [*today[:axis], index, *today[axis + 1 :]]
            for axis, length in enumerate(shape)
            for index in range(length)
            if index != today[axis]
        ],
        dtype=int,
    ).reshape(-1, 3)


def fit_surface(
    arms: ArrayLike,
    lift: ArrayLike,
    error: ArrayLike,
    shape: tuple[int, int],
    counts: ArrayLike,
    today: tuple[int, int, int],
) -> Surface:
    """Fit the surface to tested arms by weighted least squares.

    Args:
      arms: [n, 3], today's not among them, every size and two or more other counts at least once.
      lift, error: of each arm, [n]; errors > 0.
      shape: numbers of sizes of Matching and of Pre-ranking.
      counts: numbers of candidates, [K].

    Raises: ValueError for arms, lifts and errors that do not fit together.

    >>> arms = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 2], [1, 1, 0]]
    >>> lift = [0.01, 0.02, 0.005, 0.0075, 0.035]  # the last is .005 above the sum
    >>> surface = fit_surface(arms, lift, [1e-5] * 5, (2, 2), [100, 200, 400], (0, 0, 0))
    >>> surface.lift[1, 1].round(3).tolist(), round(surface.exponent, 2)
    ([0.035, 0.04, 0.042], 1.0)
    """
    arms, lift, error, counts = _check(arms, lift, error, shape, counts, today)
    scale = np.abs(lift).max() or 1.0
    model = _Model(shape, counts, today)
    index = tuple(arms.T)

    def residuals(theta):
        misfit = (model.lift(theta)[index] - lift / scale) / (error / scale)
        return np.append(misfit, model.interactions(theta) / INTERACTION_SD)

    fits = [
        least_squares(residuals, start, bounds=model.bounds, x_scale=model.steps)
        for start in model.starts(arms, lift / scale)
    ]
    theta = min(fits, key=lambda fit: fit.cost).x
    matching, pre_ranking, candidates, interactions = model.parts(theta)
    return Surface(
        matching=scale * matching,
        pre_ranking=scale * pre_ranking,
        candidates=scale * candidates,
        interactions=interactions,
        exponent=float(theta[model.exponent]),
        scale=float(scale),
        today=tuple(today),
        counts=counts,
    )


def next_arms(surface: Surface, arms: ArrayLike, error: float, count: int) -> np.ndarray:
    """The arms that would say most about the surface, given those already tested.

    Greedy D-optimal design (Wynn 1970, Annals of Mathematical Statistics 41) on the surface
    linearised where it stands: each next arm is the one whose lift is least known.

    Args:
      surface: fitted to `arms`, [n, 3].
      error: standard error that an arm's lift would have.
      count: of arms to choose.

    Returns: [count, 3], fewer where no untested arm is left.
    """
    shape, counts = (len(surface.matching), len(surface.pre_ranking)), surface.counts
    model = _Model(shape, counts, surface.today)
    theta = model.theta(surface)
    every = np.array(list(itertools.product(*map(range, (*shape, len(counts))))))
    jacobian = approx_fprime(theta, lambda x: model.lift(x).ravel())
    seen = {tuple(surface.today), *map(tuple, np.asarray(arms).tolist())}
    open_arms = [row for row, arm in enumerate(every.tolist()) if tuple(arm) not in seen]
    tested = jacobian[[row for row in range(len(every)) if row not in open_arms]]
    noise = (error / surface.scale) ** 2
    # A prior that is wide beside what single changes tell keeps the matrix regular.
    prior = np.full(len(theta), 1e-6)
    prior[model.interaction] = 1 / INTERACTION_SD**2
    information = np.diag(prior) + tested.T @ tested / noise
    chosen = []
    for _ in range(min(count, len(open_arms))):
        candidates = jacobian[open_arms]
        variance = np.einsum("ap,ap->a", candidates @ np.linalg.inv(information), candidates)
        best = open_arms.pop(int(variance.argmax()))
        chosen.append(every[best])
        information += np.outer(jacobian[best], jacobian[best]) / noise
    return np.array(chosen, dtype=int).reshape(-1, 3)


def knowledge(
    lift: np.ndarray, error: np.ndarray, counts: ArrayLike, today: tuple[int, int, int], more: int
) -> dict[str, Knowledge]:
    """What each rule would know, had it tested its arms in a test of all of them.

    Args:
      lift, error: of every arm, [I, J, K]; only what a rule tests is shown to it.
      counts: numbers of candidates, [K].
      more: arms beyond single changes that the fitted surface rests on.

    Returns: name of the rule -> `Knowledge`, from the least to the most that is tested.
    """
    lift, error = np.asarray(lift, float), np.asarray(error, float)
    i, j, k = today
    matching, pre_ranking, candidates = lift[:, j, k], lift[i, :, k], lift[i, j, :]
    added = matching[:, None, None] + pre_ranking[:, None] + candidates
    unchanged = np.where(np.arange(lift.shape[2]) == k, 0.0, -np.inf)
    arms = few_arms(lift, error, counts, today, more)
    index = tuple(arms.T)
    fitted = fit_surface(arms, lift[index], error[index], lift.shape[:2], counts, today).lift
    fitted[index] = lift[index]  # where an arm was tested, its own test says most
    sizes = len(matching) + len(pre_ranking) - 2
    return {
        EQ_9: Knowledge(added + unchanged, sizes),
        ADDED: Knowledge(added, sizes + len(candidates) - 1),
        FITTED: Knowledge(fitted, len(arms)),
        ALL_PAIRS: Knowledge(lift + unchanged, len(matching) * len(pre_ranking) - 1),
        EVERY_ARM: Knowledge(lift, lift.size - 1),
    }


def few_arms(
    lift: np.ndarray, error: np.ndarray, counts: ArrayLike, today: tuple[int, int, int], more: int
) -> np.ndarray:
    """Arms that the fitted surface rests on: single changes, then `more` chosen by these.

    Arguments as for `knowledge`. Returns: [n, 3].
    """
    arms = single_changes(lift.shape, today)
    index = tuple(arms.T)
    first = fit_surface(arms, lift[index], error[index], lift.shape[:2], counts, today)
    return np.concatenate([arms, next_arms(first, arms, float(np.median(error[index])), more)])


def best_arm(lift: ArrayLike, cost: ArrayLike, budget: float) -> tuple[int, ...]:
    """The arm of most lift within a budget, the cheaper of equal ones.

    Args:
      lift, cost: of every arm, one shape; an arm of -inf is none; budget: in cost's unit.

    Raises: ValueError where no arm is within the budget.

    >>> best_arm([[0.0, 0.02], [0.01, 0.04]], [[2.0, 3.0], [2.0, 5.0]], budget=3.0)
    (0, 1)
    """
    lift, cost = np.asarray(lift, float), np.asarray(cost, float)
    within = cost <= budget * (1 + 1e-12)  # today's cost is one sum, a budget may be another
    allowed = within & (lift > -np.inf)
    if not allowed.any():
        raise ValueError(
            f"best_arm: budget = {budget:g} is below {cost[lift > -np.inf].min():g}, the cheapest"
        )
    order = np.lexsort((cost.ravel(), -np.where(allowed, lift, -np.inf).ravel()))
    return tuple(int(x) for x in np.unravel_index(order[0], lift.shape))


def _lift(matching, pre_ranking, candidates, interactions):
    a, b, g = matching[:, None, None], pre_ranking[:, None], candidates
    first, second, third = interactions
    return a + b + g + first * a * b + second * a * g + third * b * g


class _Model:
    """The surface as a function of one vector: other sizes' lifts, A, kappa, interactions."""

    def __init__(self, shape, counts, today):
        self.shape, self.today = shape, today
        self.ratio = counts / counts[today[2]]
        self.others = [np.delete(np.arange(n), i) for n, i in zip(shape, today, strict=False)]
        sizes = sum(map(len, self.others))
        self.amplitude, self.exponent = sizes, sizes + 1
        self.interaction = slice(sizes + 2, sizes + 5)
        low, high = np.full(sizes + 5, -np.inf), np.full(sizes + 5, np.inf)
        low[self.exponent], high[self.exponent] = EXPONENTS
        self.bounds, self.steps = (low, high), np.ones(sizes + 5)

    def parts(self, theta):
        """(matching [I], pre_ranking [J], candidates [K], interactions [3])."""
        effects, start = [], 0
        for count, others in zip(self.shape, self.others, strict=True):
            effect = np.zeros(count)
            effect[others] = theta[start : start + len(others)]
            effects.append(effect)
            start += len(others)
        candidates = theta[self.amplitude] * (1 - self.ratio ** -theta[self.exponent])
        return *effects, candidates, self.interactions(theta)

    def interactions(self, theta):
        return theta[self.interaction]

    def lift(self, theta):
        """[I, J, K], in units of the scale."""
        return _lift(*self.parts(theta))

    def theta(self, surface):
        """The vector of a fitted surface."""
        other = self.ratio != 1
        curve = 1 - self.ratio[other] ** -surface.exponent
        amplitude = surface.candidates[other] @ curve / (curve @ curve)
        sizes = [
            effect[others]
            for effect, others in zip(
                (surface.matching, surface.pre_ranking), self.others, strict=True
            )
        ]
        scaled = np.concatenate([*sizes, [amplitude]]) / surface.scale
        return np.concatenate([scaled, [surface.exponent], surface.interactions])

    def starts(self, arms, lift):
        """Vectors to start from: main effects from single changes, exponents across the bounds."""
        start = np.zeros(len(self.steps))
        place = 0
        for axis, others in enumerate(self.others):
            elsewhere = [other for other in range(3) if other != axis]
            single = (arms[:, elsewhere] == np.take(self.today, elsewhere)).all(axis=1)
            for index in others:
                found = lift[single & (arms[:, axis] == index)]
                start[place] = found[0] if len(found) else 0.0
                place += 1
        for exponent in (0.2, 1.0, 2.5):
            yield np.concatenate(
                [start[: self.amplitude], [0.1, exponent], start[self.interaction]]
            )


def _check(arms, lift, error, shape, counts, today):
    arms, lift, error, counts = (np.asarray(x) for x in (arms, lift, error, counts))
    if arms.ndim != 2 or arms.shape[1] != 3 or not len(arms) == len(lift) == len(error):
        raise ValueError(
            "fit_surface: arms must be [n, 3] with a lift and an error each; got shapes "
            f"{arms.shape}, {lift.shape}, {error.shape}"
        )
    if not (np.isfinite(lift).all() and np.isfinite(error).all() and (error > 0).all()):
        raise ValueError("fit_surface: lift must be finite and error > 0; got another in an arm")
    if not (counts > 0).all():
        raise ValueError(f"fit_surface: counts must be > 0; got {counts.tolist()}")
    for axis, (length, least) in enumerate(
        zip((*shape, len(counts)), (shape[0] - 1, shape[1] - 1, 2), strict=True)
    ):
        tested = set(arms[:, axis].tolist()) - {today[axis]}
        if not tested <= set(range(length)) or len(tested) < least:
            raise ValueError(
                f"fit_surface: arms must test {least} or more of 0..{length - 1} beside today's "
                f"{today[axis]} on axis {axis}; got {sorted(tested)}"
            )
    return arms, lift.astype(float), error.astype(float), counts.astype(float)

"""What a reader of a law should know before trusting it beyond the points.

A law is held against the points it was fitted to: what it would have said of the last of them
(`back_test`), whether they steepen where a law with an asymptote must flatten, whether the
asymptote or one point alone decides.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.base import clone

LEAST_SIZES = 6  # that a law is fitted to in a back-test
CUTS = (2.0, 4.0)  # largest x over the largest that a back-test fits
LIKE_NO_TEST = 2.0  # a law without a back-test counts as this many that missed as expected
MOST_MISSED = 5.0  # standard deviations by which one back-test counts as missed at most


class BackTest(NamedTuple):
    """A law of the first points beside those up to twice as far.

    `largest_x`: of those that it was fitted to; `missed`: root mean square of the errors at those
    ahead, in standard deviations that the law gave them (1 where its intervals are right).
    """

    largest_x: float
    sizes_ahead: int
    missed: float


def back_test(law) -> list[BackTest]:
    """`law` (fitted) against itself: fitted to its points up to 1/2 and 1/4 of the largest x."""
    sizes, tests = np.unique(law.x_), []
    last = len(sizes)
    for cut in CUTS:
        fitted = min(int(np.sum(sizes <= sizes[-1] / cut)), last - 1)
        if fitted < LEAST_SIZES:
            break
        largest = sizes[fitted - 1]
        ahead = sizes[fitted : max(fitted + 1, int(np.sum(sizes <= 2 * largest)))]
        try:
            part = refitted(law, law.x_ <= largest)
        except ValueError:  # the first points alone may be constant, or too few for `breaks`
            break
        new = (law.x_ > largest) & (law.x_ <= ahead[-1])
        missed = np.sqrt(np.mean(part.deviations(law.x_[new], law.y_[new]) ** 2))
        tests.append(BackTest(float(largest), len(ahead), float(missed)))
        last = fitted
    return tests


def refitted(law, known: np.ndarray):
    """A law like `law` (fitted), of its direction, fitted to `known` of its measurements alone.

    Raises: ValueError as `BNSL.fit`.
    """
    part = clone(law).set_params(direction="falling" if law.points_.sign > 0 else "rising")
    return part.fit(law.x_[known], law.y_[known], law.groups_[known])


def few_sizes(sizes: int) -> float:
    """Factor > 1 on a law's intervals for the noise that few sizes tell badly.

    As Student's t of sizes - 3 is wider than the normal, at 90 %: a law that bends where the noise
    does takes it for its own.

    >>> round(few_sizes(6), 2), round(few_sizes(100), 2)
    (1.43, 1.01)
    """
    return float(stats.t.ppf(0.95, max(sizes - 3, 2)) / stats.norm.ppf(0.95))


def missed_before(tests: list[BackTest]) -> float:
    """Factor >= 1 on a law's intervals from how far it missed before.

    A mean of squares over back-tests in which `LIKE_NO_TEST` that missed as expected count too:
    two tests say little of the next one.

    >>> missed_before([BackTest(1.0, 4, 1.0)]), round(missed_before([BackTest(1.0, 4, 4.0)]), 2)
    (1.0, 2.45)
    """
    squares = [min(test.missed, MOST_MISSED) ** 2 for test in tests]
    return float(np.sqrt(max(1.0, (LIKE_NO_TEST + sum(squares)) / (LIKE_NO_TEST + len(squares)))))


def warnings_of(law) -> list[str]:
    """Sentences on what the points do not settle; empty for a law that they bear out."""
    found = [_back_tests(law), _spikes(law), _steepens(law), _asymptote(law), _one_point(law)]
    return [text for text in found if text]


def _back_tests(law):
    factor = missed_before(law.back_tests_)
    if factor > 1.2:
        worst = max(law.back_tests_, key=lambda test: test.missed)
        return (
            f"fitted to the points up to x = {worst.largest_x:.4g} the law misses the next "
            f"{'size' if worst.sizes_ahead == 1 else f'{worst.sizes_ahead} sizes'} by "
            f"{worst.missed:.1f} times what it expects: its intervals are made {factor:.1f} times "
            "as wide"
        )
    return None


def _spikes(law):
    spikes = law.points_.spikes
    if len(spikes):
        at = ", ".join(f"{x:.4g}" for x in spikes[:5]) + (", ..." if len(spikes) > 5 else "")
        return (
            f"{len(spikes)} of {len(law.x_)} measurements lie far off their neighbours and hardly "
            f"count (x = {at})"
        )
    return None


def _steepens(law, share=3.0):
    """Whether y changes faster in log x at the end than before, beyond what noise explains."""
    points = law.points_
    last, before = points.u >= -points.span / share, points.u < -points.span / share
    before &= points.u >= -2 * points.span / share
    if min(last.sum(), before.sum()) < 3:
        return None
    slopes, variances = [], []
    for part in (before, last):
        fit, cov = np.polyfit(
            points.u[part],
            points.sign * np.log(points.y[part]),
            1,
            w=np.sqrt(points.count[part] / points.variance[part]),
            cov="unscaled",
        )
        slopes.append(-fit[0])
        variances.append(cov[0, 0])
    noise = float(np.sqrt(law.members_.weight @ law.members_.noise**2))
    gain = slopes[1] - slopes[0]
    if gain > 3 * noise * np.sqrt(sum(variances)) and slopes[1] > 1.15 * max(slopes[0], 0.0):
        return (
            f"the tail steepens: over the last third of log x, y changes {slopes[1]:.3g} of itself "
            f"per unit of ln x, over the third before {slopes[0]:.3g}. A law with an asymptote "
            "flattens and cannot follow for long"
        )
    return None


def _asymptote(law):
    """Whether the asymptote may lie anywhere within a whole range of y, or more."""
    members, points = law.members_, law.points_
    distance = points.sign * (points.best - members.asymptote) / points.range
    order = np.argsort(distance)
    below = np.cumsum(members.weight[order])
    low, high = (distance[order][np.searchsorted(below, q)] for q in (0.05, 0.95))
    if high > low + 1:
        return (
            "the asymptote is not identified: it may lie anywhere from "
            f"{max(low, 0.0):.2g} to {high:.2g} times the measured range beyond the best point"
        )
    return None


def _one_point(law):
    found = deciding_point(law)
    if found is None:
        return None
    size, without, mean = found
    return (
        f"one point decides: without x = {size:.4g} the law says {without:.5g} at twice the "
        f"largest x, not {mean:.5g}, and that lies outside its interval"
    )


def deciding_point(law) -> tuple[float, float, float] | None:
    """A size without which the prediction at twice the largest x leaves its interval, if any.

    Asked of the first, the last and the one farthest off. A change of less than a hundredth of the
    measured range of log y decides nothing.

    Returns: (x of the size, the prediction without it, the prediction with it), or None.
    """
    sizes = np.unique(law.x_)
    if not LEAST_SIZES < len(sizes) <= len(law.points_.u):
        return None
    ahead = 2 * law.points_.largest_x
    mean, low, high = (float(np.log(v)) for v in law.predict(ahead, interval=0.9))
    least = 0.01 * np.ptp(np.log(law.y_))
    deviation = np.abs(law.deviations(law.x_, law.y_))
    farthest = law.x_[np.argmax(deviation)]
    for size in (farthest, sizes[-1], sizes[0]):
        try:
            part = refitted(law, law.x_ != size)
        except ValueError:  # the others alone may be constant, or too few for `breaks`
            continue
        without = float(np.log(part.predict(ahead)))
        if not low <= without <= high and abs(without - mean) > least:
            return float(size), float(np.exp(without)), float(np.exp(mean))
    return None

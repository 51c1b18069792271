r"""Which request deserves which of the sizes deployed, by the shadow price of machines.

With several sizes (or numbers of candidates) deployed side by side, each request takes the option

    j_i = argmax_j  gain_ij - \lambda cost_j

for which what it earns beyond what it costs at the price \lambda is most; the price is the lowest
at which all requests together stay within the budget (DCAF: Jiang et al. 2020, arXiv:2006.09684).
No other assignment of the same cost earns more by these gains. Gains are in money and need only
differ rightly between the options of a request; before a request is served they can only be
predicted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

BISECTIONS = 60  # halves the price's interval to its last bits
RIDGES = np.logspace(-1, 6, 15)  # strengths that cross-validation chooses from, features scaled
# Policies, by the names that tables and figures use.
ONE_FOR_ALL = "one option for all"
BY_LOT = "best mixture by lot"
PREDICTED = "by request, gain predicted"
BY_PAST = "by user, gains of earlier requests"
KNOWN = "by request, gain known"


class Assignment(NamedTuple):
    """An option for every request."""

    option: np.ndarray  # of each request, integers [requests]
    price: float  # lambda: what one more unit of cost earns; 0 where the budget does not bind
    gain: float  # mean of the requests, by the gains given
    cost: float  # likewise


class Mixture(NamedTuple):
    """Two options given to requests by lot: the best without looking at a request."""

    options: tuple[int, int]
    share: float  # of requests that get the second

    def mean(self, values: ArrayLike) -> np.ndarray:
        """Expected value of a request, [..., options] -> [...]."""
        first, second = self.options
        values = np.asarray(values)
        return (1 - self.share) * values[..., first] + self.share * values[..., second]


class Policy(NamedTuple):
    """What a policy brings and costs."""

    money: np.ndarray  # of each request, [requests]
    cost: float  # mean of a request


def policies(
    money: ArrayLike,
    past_money: ArrayLike,
    features: ArrayLike,
    cost: ArrayLike,
    today: int,
    seed: int = 0,
) -> dict[str, Policy]:
    """What choosing by request brings at the cost of today's option for all.

    Args:
      money: that each user's requests bring with each option, [users, options].
      past_money: the same of earlier requests, from which the mixture is chosen.
      features: known before these requests, [users, F].
      cost: of each option, [options]; today: the option that all have now.
      seed: of the predictions' folds.

    Returns: name -> `Policy`. Predicted: each user's gain by a model of other users. Two that no
      platform can have, which shows a user one option at a time: by what the user's own earlier
      requests gained with every option, as far as users differ for good; and with the gains of
      these very requests known, an upper bound that holds their noise as well.
    """
    money, cost = np.asarray(money, float), np.asarray(cost, float)
    cheapest = [int(cost.argmin())]
    past_money = np.asarray(past_money, float)
    gain, past_gain = (values - values[:, cheapest] for values in (money, past_money))
    budget = float(cost[today])
    mixture = best_mixture(past_money.mean(axis=0), cost, budget)
    chosen = {
        PREDICTED: assign(predicted_gain(features, gain, seed=seed), cost, budget),
        BY_PAST: assign(past_gain, cost, budget),
        KNOWN: assign(gain, cost, budget),
    }
    rows = np.arange(len(money))
    return {
        ONE_FOR_ALL: Policy(money[:, today], budget),
        BY_LOT: Policy(mixture.mean(money), float(mixture.mean(cost))),
        **{name: Policy(money[rows, found.option], found.cost) for name, found in chosen.items()},
    }


def assign(gain: ArrayLike, cost: ArrayLike, budget: float) -> Assignment:
    """Give every request its option within a mean cost.

    Args:
      gain: money of each request with each option, [requests, options].
      cost: of each option, [options], any unit.
      budget: the most that a request costs on average, in cost's unit.

    Returns: `Assignment`; its cost lies below the budget by less than one request's options
      differ, unless the budget pays for the best option of everyone.
    Raises: ValueError for arrays that do not fit together, or a budget below the cheapest option.

    >>> assign([[0.0, 3.0], [0.0, 1.0]], [1.0, 2.0], budget=1.5).option.tolist()
    [1, 0]
    """
    gain, cost = _check(gain, cost, budget)
    choose = _chooser(gain, cost)
    price = 0.0
    if cost[choose(0.0)].mean() > budget:
        # Where a price exceeds every gain per cost, each request takes its cheapest option.
        apart = np.diff(np.sort(cost))
        low, high = 0.0, 2 * np.ptp(gain, axis=1).max() / apart[apart > 0].min()
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if cost[choose(middle)].mean() <= budget else (middle, high)
        price = high
    option = choose(price)
    rows = np.arange(len(gain))
    return Assignment(option, price, float(gain[rows, option].mean()), float(cost[option].mean()))


def best_mixture(mean_gain: ArrayLike, cost: ArrayLike, budget: float) -> Mixture:
    """The best mixture of options at a mean cost: what choosing by request is to be held against.

    One option for all is the mixture of share 0. Options of a small and of a large size given by
    lot may already beat the size between them.

    Args:
      mean_gain, cost: of each option, [options]; budget: mean cost.

    Raises: ValueError for a budget below the cheapest option.

    >>> best_mixture([0.0, 1.0, 4.0], [1.0, 2.0, 3.0], budget=2.0)
    Mixture(options=(0, 2), share=0.5)
    """
    gain, cost = _check(np.atleast_2d(mean_gain), cost, budget)
    affordable, dear = np.flatnonzero(cost <= budget), np.flatnonzero(cost > budget)
    mixtures = [Mixture((int(i), int(i)), 0.0) for i in affordable]
    mixtures += [
        Mixture((int(i), int(j)), float((budget - cost[i]) / (cost[j] - cost[i])))
        for i in affordable
        for j in dear
    ]
    return max(mixtures, key=lambda mixture: float(mixture.mean(gain)[0]))


def predicted_gain(features: ArrayLike, gain: ArrayLike, folds: int = 5, seed: int = 0):
    """Gains of each request as predicted by a model that has not seen its user.

    Linear in the features, one ridge strength for each option by cross-validation.

    Args:
      features: known when the request comes, [users, F].
      gain: money that each option earned, [users, options].
      folds: of users; each is predicted from the others; seed: of who is in which.

    Returns: [users, options].
    """
    model = make_pipeline(StandardScaler(), RidgeCV(RIDGES, alpha_per_target=True))
    split = KFold(folds, shuffle=True, random_state=seed)
    return cross_val_predict(model, np.asarray(features), np.asarray(gain), cv=split)


def _chooser(gain, cost):
    """Function price -> option of each request, the cheapest of equal ones."""
    order = np.argsort(cost, kind="stable")
    gain, sorted_cost = gain[:, order], cost[order]
    return lambda price: order[np.argmax(gain - price * sorted_cost, axis=1)]


def _check(gain, cost, budget):
    gain, cost = np.asarray(gain, float), np.asarray(cost, float)
    if gain.ndim != 2 or gain.shape[1:] != cost.shape or not gain.size:
        raise ValueError(
            "per_request: gain must be [requests, options] and cost [options]; got shapes "
            f"{gain.shape} and {cost.shape}"
        )
    if not (np.isfinite(gain).all() and np.isfinite(cost).all()):
        raise ValueError("per_request: gain and cost must be finite; got another value")
    if budget < cost.min():
        raise ValueError(
            f"per_request: budget = {budget:g} is below {cost.min():g}, what the cheapest option "
            "costs a request"
        )
    return gain, cost

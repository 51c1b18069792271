"""Answer and claims of notebook 04."""

import numpy as np

from lib.design.size_economics import SizeEconomics
from lib.notebook.report import Report

PAPER_SIZES, PAPER_LIFT = 1000, 0.0085
ABOUT = PAPER_SIZES // 10  # what "approximately" leaves open


def answer(economics: SizeEconomics) -> str:
    """The best size, its lift and machines, and whether the measurements settle the choice."""
    best = economics.best()
    low, high = (bounds[best] for bounds in economics.lift_bounds)
    share = economics.share_best
    return (
        f"Of {len(share):,} sizes, {economics.sizes.size_parameters[best].tolist()} earns most "
        f"with an {economics.roi} ROI of at least {economics.roi_min:g}: "
        f"{economics.lift[best]:+.2%} revenue ({100 * economics.interval:g} %: {low:+.2%} to "
        f"{high:+.2%}) for {economics.relative_cost[best]:.2f} times the machines. It is the best "
        f"in {share[best]:.0%} of the joint draws of law, G and cost, which name "
        f"{np.count_nonzero(share)} different sizes: the choice is "
        f"{'clear' if share[best] > 0.5 else 'not settled by these measurements'}."
    )


def values(economics: SizeEconomics) -> dict:
    """The answer's numbers, for summary.json."""
    best = economics.best()
    return {
        "size_parameters": economics.sizes.size_parameters[best].tolist(),
        "lift": economics.lift[best],
        "sizes": len(economics.lift),
        "share_best": economics.share_best[best],
    }


def add(
    report: Report,
    economics: SizeEconomics,
    ratio_from: str,
    covers: str,
    published: int | None = None,
) -> None:
    """Add the claims to the report.

    Args:
      ratio_from: how the grid reads the 1/20 rule (`lib.design.size_grid`).
      covers: which re-draw the lifts' intervals are for (`lib.notebook.report.COVERS`).
      published: index of the size that the paper chose, if the grid holds it.
    """
    best, (low, high) = economics.best(), economics.lift_bounds
    report.claim(
        "sizes in the grid of B.1",
        len(economics.lift),
        published=PAPER_SIZES,
        published_interval=(PAPER_SIZES - ABOUT, PAPER_SIZES + ABOUT),
        margin=ABOUT,
        source=f"paper: 'approximately 1000'; 1/20 rule read from '{ratio_from}'",
    )
    report.difference(
        "the best size earns more than the base",
        economics.lift[best],
        (low[best], high[best]),
        covers=covers,
        source=f"{100 * economics.interval:g} % over joint draws of law and G",
    )
    if published is not None:
        report.claim(
            "the paper's size earns 0.85 % more than the base",
            economics.lift[published],
            interval=(low[published], high[published]),
            published=PAPER_LIFT,
            margin=PAPER_LIFT / 2,  # a wider interval holds no lift as well
            covers=covers,
            source="paper, 5.1, measured online, its own error not given; here by the scale "
            "model's law and G",
        )

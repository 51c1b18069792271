"""The figures of notebook 02: laws beside their points, and what laws predict.

Every function draws on the Axes that it is given and writes labels at what they name. Sizes are
FLOPs per user-ad pair; `name` is the metric's, as readers know it.
"""

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from lib.laws.bnsl import BNSL
from lib.laws.diagnosis import deciding_point, refitted
from lib.laws.growth import AsymptoteDistance
from lib.laws.held_out import HeldOutFit
from lib.laws.next_size import AVERAGE
from lib.notebook import plots

FLOPS_LABEL = "FLOPs per user-ad pair"
MEASURED = plots.ORANGE  # of what a law had to predict; marked by diamonds
BEYOND = 4.0  # curves end at so many times the largest size
OUTLIER = 10.0  # times the median error: drawn at the panel's edge
FIRST_POINTS = (plots.RED, plots.PINK)  # laws of a back-test, the longest first
LONGEST_BELOW = 24  # characters of a name below an axis
NEAREST, FARTHEST = 1e-3, 1e3  # an asymptote nearer or farther, in ranges of y: at the edge


def curve_grid(flops: np.ndarray, points: int = 200) -> np.ndarray:
    """FLOPs along which curves are drawn, even in the logarithm."""
    return np.geomspace(np.min(flops), BEYOND * np.max(flops), points)


def fitted_and_held_out(
    ax: Axes,
    fit: HeldOutFit,
    rows: pd.DataFrame,
    metric: str,
    name: str,
    colour: str,
    interval: float,
) -> None:
    """The law and the power law of the smaller sizes, and the measurements of all.

    Args:
      fit: of `rows`.
      rows: a training a row, with columns flops and `metric`.
      metric, name: column, and how readers know it.
      colour: of the law and of the sizes that it knows.
      interval: probability of the band, which is for a new measurement.
    """
    grid = curve_grid(fit.table.x)
    plots.band(ax, grid, *fit.law.predict(grid, interval=interval), colour)
    ax.plot(grid, fit.power_law.predict(grid), "--", color=plots.GREY, lw=1)
    is_held_out = rows.flops.isin(fit.table.x[fit.table.held_out])
    for part, marker, part_colour, size in (
        (rows[~is_held_out], "o", colour, 5),
        (rows[is_held_out], "D", MEASURED, 6),
    ):
        ax.plot(part.flops, part[metric], marker, color=part_colour, ms=size)
    ax.margins(y=0.12)
    plots.log_axis(ax)
    held_out = int(fit.table.held_out.sum())
    left_out = f" without the largest {held_out if held_out > 1 else 'size'}" if held_out else ""
    ax.set(xlabel=FLOPS_LABEL, ylabel=name, title=f"Fitted{left_out}, {interval:.0%} interval")
    ends = [
        (float(law.predict(grid[-1:])[0]), label, label_colour)
        for law, label, label_colour in (
            (fit.law, "average of laws", colour),
            (fit.power_law, "power law", plots.GREY),
        )
    ]
    plots.at_ends(ax, grid[-1], ends)
    if held_out:
        _label_unseen(ax, rows[rows.flops == rows.flops.max()][metric], fit.table.iloc[-1])


def distance_to_asymptote(
    ax: Axes, distance: AsymptoteDistance, flops: np.ndarray, name: str, colour: str
) -> None:
    """A law of all sizes as the distance to its own asymptote, on logarithmic axes.

    Where the interval holds the asymptote, its band is cut at the lower edge of the panel and a
    dotted line says from where on; measurements beyond the asymptote are triangles on that edge.

    Args:
      distance: of `lib.laws.distance_to_asymptote`.
      flops: of its measurements; name: of the metric; colour: of the law.
    """
    near_side = distance.measured > 0
    smallest = min(distance.curve.min(), distance.measured[near_side].min(initial=np.inf))
    floor = 0.6 * min(smallest, distance.nearest[distance.nearest > 0].min(initial=np.inf))
    if distance.reached_from is not None:
        floor = 0.6 * smallest
    band = np.maximum([distance.nearest, distance.farthest], floor)
    ax.fill_between(distance.x, *band, color=colour, alpha=0.18, linewidth=0)
    ax.plot(distance.x, distance.curve, color=colour)
    ax.plot(flops[near_side], distance.measured[near_side], "o", color=colour, ms=5)
    if distance.measured_beyond:
        edge = np.full(distance.measured_beyond, floor)
        ax.plot(flops[~near_side], edge, "v", color=colour, mfc="white", ms=7, clip_on=False)
    headroom = 1.5 if distance.reached_from is None else 2.5  # for the words above the band
    ax.set_ylim(floor, headroom * max(distance.farthest.max(), distance.measured.max()))
    plots.log_axis(ax)
    _plain_log_axis(ax)
    ax.set(
        xlabel=FLOPS_LABEL,
        ylabel=f"distance of {name} to the asymptote",
        title=f"Fitted to all sizes: {name} → {distance.asymptote:.3f}",
    )
    if distance.reached_from is not None:
        ax.axvline(distance.reached_from, color=plots.GREY, lw=0.8, ls=":")
        is_left = distance.reached_from < np.sqrt(distance.x[0] * distance.x[-1])
        ax.annotate(
            "from here on the interval\nholds the asymptote",
            (distance.reached_from, 0.98),
            (4 if is_left else -4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=plots.GREY,
            fontsize="small",
            va="top",
            ha="left" if is_left else "right",
        )


def back_tests(ax: Axes, law: BNSL, name: str, colour: str, interval: float) -> None:
    """A law of all sizes, and what laws of the first of them said of the next, dashed.

    These end at twice the largest x that they know, or at the next size if that is farther.

    Measurements that hardly count, and the size that decides where a warning names one, are marked.

    Args:
      law: fitted; name: of the metric; colour: of the law.
      interval: probability of the bands, which are for a new measurement.
    """
    grid, sizes = np.geomspace(law.x_.min(), 2 * law.x_.max(), 200), np.unique(law.x_)
    bands = [law.predict(grid, interval=interval)]
    plots.band(ax, grid, *bands[0], colour)
    lines = []
    for test, test_colour in zip(law.back_tests_, FIRST_POINTS, strict=False):
        first = refitted(law, law.x_ <= test.largest_x)
        last = sizes[sizes > test.largest_x][test.sizes_ahead - 1]
        ahead = np.geomspace(test.largest_x, max(2 * test.largest_x, last), 40)
        bands.append(first.predict(ahead, interval=interval))
        ax.fill_between(ahead, *bands[-1][1:], color=test_colour, alpha=0.15, linewidth=0)
        fitted = grid[grid <= test.largest_x]
        ax.plot(fitted, first.predict(fitted), "--", color=test_colour, lw=0.7)
        ax.plot(ahead, bands[-1][0], "--", color=test_colour, lw=1.8)
        size = "size" if test.sizes_ahead == 1 else f"{test.sizes_ahead} sizes"
        text = f"of sizes up to {_short(test.largest_x)}: misses the next {size} by"
        lines.append((f"{text} {test.missed:.1f} sd", test_colour))
    is_spike = np.isclose(law.x_[:, None], law.points_.spikes, rtol=1e-9).any(axis=1)
    ax.plot(law.x_[~is_spike], law.y_[~is_spike], "o", color=colour, ms=4)
    if is_spike.any():
        ax.plot(law.x_[is_spike], law.y_[is_spike], "x", color=plots.GREY, ms=6)
        lines.append(("x hardly counts", plots.GREY))
    is_deciding = _decides(law)
    if is_deciding.any():
        ax.plot(
            law.x_[is_deciding], law.y_[is_deciding], "o", color="black", mfc="none", ms=10, mew=1.2
        )
        lines.append(("circled: decides", "black"))
    lines = [("law of all sizes", colour), *lines]
    rises = law.points_.sign < 0
    drawn = np.concatenate([np.ravel(band) for band in bands])
    _limits_about(ax, law.y_, drawn, room=0.06 * len(lines), below=rises)
    plots.log_axis(ax)
    title = f"All sizes, and the first of them, {interval:.0%} intervals"
    ax.set(xlabel=FLOPS_LABEL, ylabel=name, title=title)
    _in_corner(ax, lines, below=rises)


def _decides(law):
    """Which measurements are of the size that decides, [measurements]."""
    found = deciding_point(law)
    return law.x_ == found[0] if found else np.zeros(len(law.x_), dtype=bool)


def _limits_about(ax, measured, drawn, room, below):
    """Limits of y with all that is drawn, but no farther than a range beyond what is measured:
    an interval that leaves the points far behind must not flatten them to a line.

    `room`: share of the height that is left free for words, below or above.
    """
    span, everything = np.ptp(measured), np.append(drawn, measured)
    low = max(everything.min(), measured.min() - span)
    high = min(everything.max(), measured.max() + span)
    room, edge = (high - low) * room / (1 - room), 0.05 * (high - low)
    ax.set_ylim(low - edge - room * below, high + edge + room * (not below))


def _in_corner(ax, lines, below):
    """Lines of text, one below the other, in the lower or upper right corner."""
    for row, (text, colour) in enumerate(lines):
        height = 12 * (len(lines) - 1 - row) + 8 if below else -12 * row - 8
        ax.annotate(
            text,
            (1.0, 0.0 if below else 1.0),
            (-4, height),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize="small",
            ha="right",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
        )


def _short(value):
    """As the axis writes it: 285k, 49.3M."""
    return ticker.EngFormatter(sep="", places=None)(float(f"{value:.3g}"))


def where_the_asymptote_lies(ax: Axes, law: BNSL, name: str, colour: str) -> None:
    """How much of the average has its asymptote at which distance beyond the best point.

    The diamond is that of the most plausible single curve, `law.asymptote_`.
    Distances nearer than `NEAREST` and farther than `FARTHEST` are triangles at the edge.

    Args:
      law: fitted; name: of the metric; colour: of the law.
    """
    members, points = law.members_, law.points_
    distance = points.sign * (points.best - members.asymptote) / points.range
    order = np.argsort(distance)
    below = np.cumsum(members.weight[order])
    low, high = (distance[order][np.searchsorted(below, q)] for q in (0.05, 0.95))
    shown = 10 ** np.round(np.log10(distance.clip(NEAREST, FARTHEST)), 1)
    places, row = np.unique(shown, return_inverse=True)
    weight = np.bincount(row, members.weight)
    ax.axvspan(*np.clip([low, high], NEAREST, FARTHEST), color=colour, alpha=0.12, linewidth=0)
    ax.vlines(places, 0, weight, color=colour, linewidth=4)
    for edge, marker, is_beyond in (
        (NEAREST, "<", distance < NEAREST),
        (FARTHEST, ">", distance > FARTHEST),
    ):
        if is_beyond.any():
            ax.plot(edge, members.weight[is_beyond].sum(), marker, color=colour, clip_on=False)
    ax.axvline(1.0, color=plots.GREY, lw=0.8, ls=":")
    single = points.sign * (points.best - law.asymptote_ / points.unit) / points.range
    single = np.clip(single, NEAREST, FARTHEST)
    ax.plot(single, 0.0, "D", color=MEASURED, ms=7, clip_on=False, zorder=3)
    ends = [*places, single]
    ax.set_xlim(min(0.6 * min(ends), 0.3), max(1.7 * max(ends), 5.0))
    top = min(1.25 * weight.max(), 1.0)
    ax.set_ylim(0, top)
    _plain_log_axis(ax, "x")
    first, last = np.sort(points.unit * points.asymptote(np.array([low, high])))
    ax.set(
        xlabel=f"asymptote beyond the best {name}, in ranges",
        ylabel="share of the average",
        title=f"Asymptote of {name}, 90%: {first:.4g} to {last:.4g}",
    )
    plots.percent(ax)
    is_left = members.weight[shown > 1].sum() > 0.5  # the words, where the stems are right
    plots.at_end(
        ax,
        1.0,
        0.94 * top,
        "one range",
        plots.GREY,
        dx=-4 if is_left else 4,
        ha="right" if is_left else "left",
    )


def _plain_log_axis(ax, axis="y"):
    """A logarithmic axis with plain numbers, as 0.005 or 0.02."""
    getattr(ax, f"set_{axis}scale")("log")
    line = getattr(ax, f"{axis}axis")
    low, high = line.get_view_interval()
    many_decades = np.log10(high / low) > 2.5
    line.set_major_locator(ticker.LogLocator(subs=(1,) if many_decades else (1, 2, 5)))
    line.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    line.set_minor_formatter(ticker.NullFormatter())


def errors_at_next_sizes(ax: Axes, table: pd.DataFrame, name: str) -> None:
    """Errors of all laws at the sizes that each had to predict, a row a law.

    Errors above ten times the median are arrows at the panel's edge, with their value: a single
    wild extrapolation must not hide the others.

    Args:
      table: of `lib.laws.predict_next_size`.
      name: of the metric.
    """
    laws = list(table.law.unique())
    limit = OUTLIER * table.error.abs().median()
    shown = table.assign(row=table.law.map(laws.index), is_largest=table.sizes == table.sizes.max())
    is_wild = shown.error.abs() > limit
    for chosen, marker, colour, size in (
        (~shown.is_largest, "o", plots.GREY, 4),
        (shown.is_largest, "D", MEASURED, 6),
    ):
        part = shown[chosen & ~is_wild]
        ax.plot(part.error, part.row, marker, color=colour, ms=size, alpha=0.8)
    ax.axvline(0, color=plots.GREY, lw=0.8)
    if is_wild.any():
        edge = 1.15 * shown.error[~is_wild].abs().max()
        ax.set_xlim(-edge, edge)
        for (_, sign), part in shown[is_wild].groupby(["row", np.sign(shown.error)]):
            colour = MEASURED if part.is_largest.any() else plots.GREY
            place = (sign * edge, part.row.iloc[0])
            ax.plot(*place, ">" if sign > 0 else "<", color=colour, ms=7, clip_on=False)
            values = ", ".join(f"{error:+.2g}" for error in part.error)
            plots.at_end(
                ax, *place, values, colour, dx=-7 * sign, ha="right" if sign > 0 else "left"
            )
    ax.set_yticks(range(len(laws)), laws)
    ax.set_ylim(len(laws) - 0.5, -0.5)
    ax.locator_params(axis="x", nbins=5)
    ax.set(
        xlabel=f"{name} predicted minus measured", title="Sizes not seen (diamonds: the largest)"
    )


def predicted_and_measured(
    ax: Axes, table: pd.DataFrame, name: str, colour: str, interval: float
) -> None:
    """What the average of laws predicted for each next size, and what was measured.

    Args:
      table: of `lib.laws.predict_next_size`.
      name: of the metric; colour: of the predictions; interval: their probability.
    """
    ours = table[table.law == AVERAGE]
    _with_interval(ax, ours.x, ours.predicted, ours.low, ours.high, colour)
    ax.plot(ours.x, ours.measured, "D", color=MEASURED)
    ax.set_xlim(ours.x.min() / 1.6, 1.6 * ours.x.max())
    plots.log_axis(ax)
    ax.set(
        xlabel=f"{FLOPS_LABEL} of the next size",
        ylabel=name,
        title=f"Average of laws, {interval:.0%} interval",
    )
    last = ours.iloc[-1]
    labels = [(last.predicted, "predicted", colour), (last.measured, "measured", MEASURED)]
    plots.at_ends(ax, last.x, labels)


def lifts_of_sizes(
    ax: Axes, tests: pd.DataFrame, colour: str, interval: float, *, exclude: tuple[str, ...] = ()
) -> None:
    """Revenue lifts of sizes: by the law, measured, and as published where the table says.

    Args:
      tests: of `lib.validation.revenue_model.lifts_by_reference`.
      colour: of the law; interval: probability of its intervals.
      exclude: models that are not drawn, such as the base and the reference.
    """
    rows = tests[~tests.model.isin(exclude)].reset_index(drop=True)
    place = np.arange(len(rows))
    _with_interval(ax, place - 0.12, rows.by_law, rows.low, rows.high, colour)
    ax.plot(place, rows.revenue_lift, "D", color=MEASURED)
    last = rows.iloc[-1]
    end = place[-1]
    ours = f"this law, {interval:.0%}"
    plots.at_end(ax, end - 0.12, last.by_law, ours, colour, dx=-7, ha="right")
    if np.isfinite(last.revenue_lift):
        plots.at_end(ax, end, last.revenue_lift, "measured online", MEASURED, dx=7)
    if "published_prediction" in rows:
        ax.plot(place + 0.12, rows.published_prediction, "s", color=plots.GREY)
        if np.isfinite(last.published_prediction):
            published = last.published_prediction
            plots.at_end(ax, end + 0.12, published, "published prediction", plots.GREY, dx=7)
    ax.set_xticks(
        place,
        [
            f"{plots.short_name(row.model, LONGEST_BELOW)}\n{row.flops / 1e6:.1f} MFLOPs"
            for row in rows.itertuples()
        ],
        parse_math=False,
    )
    ax.set(
        xlim=(-0.5, len(rows) - 0.5),
        ylabel="revenue lift over the base",
        title="Lifts of sizes that the law has not seen",
    )
    plots.percent(ax)


def lifts_held_out(ax: Axes, worth: pd.DataFrame, colour: str, interval: float) -> None:
    """Lifts of held-out sizes in simulated worlds, predicted above measured, a row each.

    Args:
      worth: of `lib.experiments.study.predict_lifts`.
      colour: of the predictions; interval: probability of all intervals.
    """
    row = np.arange(len(worth))
    for marker, colour_of, shift, columns, label in (
        ("o", colour, -0.14, ("predicted", "low", "high"), "predicted"),
        ("D", MEASURED, 0.14, ("measured", "measured_low", "measured_high"), "measured"),
    ):
        value, low, high = (worth[column] for column in columns)
        ax.errorbar(
            value,
            row + shift,
            xerr=[value - low, high - value],
            fmt=marker,
            color=colour_of,
            ms=4,
            capsize=2,
        )
        plots.at_end(ax, high.iloc[0], shift, label, colour_of, dy=-22 * shift)
    ax.axvline(0, color=plots.GREY, lw=0.8)
    names = [f"{line.world}: {line.model}" for line in worth.itertuples()]
    plots.name_ticks(ax, row, [plots.short_name(name) for name in names])
    ax.set(
        ylim=(len(worth) - 0.5, -0.5),
        xlabel="revenue lift over the base",
        title=f"Sizes that neither the law nor G has seen, {interval:.0%} intervals",
    )
    ax.locator_params(axis="x", nbins=6)
    plots.percent(ax, "x")


def _with_interval(ax, x, value, low, high, colour):
    """Points with the interval around each."""
    ax.errorbar(x, value, yerr=[value - low, high - value], fmt="o", color=colour, capsize=3)


def _label_unseen(ax, measured, size):
    """The name of the held-out points at the largest size, on the side away from the law."""
    is_above = measured.max() >= size.predicted
    y = measured.max() if is_above else measured.min()
    plots.at_end(ax, size.x, y, "not seen", MEASURED, dx=0, dy=12 if is_above else -12, ha="center")

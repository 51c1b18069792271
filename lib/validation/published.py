"""What the paper's Figures 3 to 6 report of each metric against revenue lift."""

from typing import NamedTuple


class Published(NamedTuple):
    """R² of the line, mean and largest deviation from it in points of lift (% of revenue)."""

    r_squared: float
    mean_deviation: float
    max_deviation: float


FIGURES_3_TO_6 = {
    "r_over_r_star": Published(0.902, 0.243, 0.483),
    "ndcg": Published(0.793, 0.311, 0.819),
    "recall": Published(0.509, 0.534, 1.139),
    "opa": Published(0.140, 0.634, 1.690),
}

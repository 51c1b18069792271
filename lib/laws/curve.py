"""The curve of Eq 6, a broken neural scaling law, evaluated in logs.

    y = a + b x^{-c0} prod_i (1 + (x / d_i)^{1 / f_i})^{-c_i f_i}

The paper's Eq 6, after Caballero et al. 2022 (arXiv:2210.14891, eq. 1). Written out,
the product overflows at a sharp break; in logs it is a sum of smooth bends.
"""

import numpy as np
from numpy.typing import ArrayLike


def log_power(x: ArrayLike, *, b: float, c0: float, c=(), d=(), f=()) -> np.ndarray:
    """log |y - a| of Eq 6, shape of x; parameters as in `bnsl`."""
    log_x = np.log(x)
    value = np.log(np.abs(b)) - c0 * log_x
    for c_i, d_i, f_i in zip(c, d, f, strict=True):
        value = value - c_i * f_i * np.logaddexp(0.0, (log_x - np.log(d_i)) / f_i)
    return value


def bnsl(x: ArrayLike, *, a: float, b: float, c0: float, c=(), d=(), f=()) -> np.ndarray:
    """y of Eq 6.

    Args:
      x: scaling factor, such as FLOPs per user-ad pair, > 0, any shape.
      a: value approached for large x: a floor where b > 0, a ceiling where b < 0.
      b: scale, unit of y; its sign says whether y falls (b > 0) or rises (b < 0) towards a.
      c0: slope in log-log before the first break.
      c, d, f: per break, change of slope, position (unit of x), sharpness > 0 (of log x).

    Returns: y, shape of x.

    >>> float(bnsl(100.0, a=0.1, b=2.0, c0=0.5).round(6))
    0.3
    >>> float(bnsl(100.0, a=0.9, b=-2.0, c0=0.5, c=[0.5], d=[1.0], f=[1e-3]).round(6))
    0.88
    """
    return a + np.sign(b) * np.exp(log_power(x, b=b, c0=c0, c=c, d=d, f=f))


def log_bnsl(x: ArrayLike, *, a: float, b: float, c0: float, c=(), d=(), f=()) -> np.ndarray:
    """log y of a falling law (a >= 0, b > 0), which neither overflows nor underflows.

    >>> float(log_bnsl(1e300, a=0.0, b=1.0, c0=2.0).round(3))
    -1381.551
    """
    power = log_power(x, b=b, c0=c0, c=c, d=d, f=f)
    return np.logaddexp(np.log(a), power) if a > 0 else power

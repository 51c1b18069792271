"""Numbers on a grid: the same bits on every processor.

Elementwise + - x / and square roots are exact by IEEE 754. Functions such as exp, log and cos,
and sums in an order that a library chooses, differ in their last bits: by the processor's
instructions, the BLAS kernel, the number of threads. Two tools take that away.

Rounding. A result in float64 is off by some 1e-15. Rounded to multiples of 2^-16 it becomes
another number only where it lies that close to the middle of two of them: one value in 10^10.
In float32 the error would be 1e-7, and of a million values some would always cross.

Exact sums. Where both factors of every product lie on a grid, and all partial sums fit into
the 53 bits of a float64, nothing is rounded, so that order and fused operations do not matter.
"""

import numpy as np


def on_grid(x, bits):
    """x rounded to the nearest multiple of 2^-bits, float64 of the same shape.

    >>> on_grid([0.30, 0.40], 2).tolist()
    [0.25, 0.5]
    """
    return np.rint(np.asarray(x, np.float64) * 2.0**bits) * 2.0**-bits


def significant(x, bits):
    """x rounded to so many significant bits, float64 of the same shape; at 20, to 1e-6 of it.

    >>> significant([1000.3, 0.3], 4).tolist()
    [1024.0, 0.3125]
    """
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(mantissa * 2.0**bits), exponent - bits)


def exact_product(first, second, bits):
    """first [..., n] @ second [n, m] of numbers on the grid 2^-bits, exact, float64.

    Raises: ValueError where a partial sum might need more than 53 bits.
    """
    terms = first.shape[-1]
    largest = terms * np.max(np.abs(first), initial=0) * np.max(np.abs(second), initial=0)
    check_exact(largest, 2 * bits)
    return first @ second


def check_exact(largest, bits):
    """ValueError unless sums of numbers on the grid 2^-bits, up to `largest`, are exact."""
    if not largest * 2.0**bits < 2.0**53:
        raise ValueError(
            f"sums of up to {largest:.4g} on a grid of 2^-{bits} are not exact in float64: "
            f"they must stay below 2^{53 - bits}"
        )

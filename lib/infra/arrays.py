"""Numbers from outside as arrays of floats; what is none is refused by name."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse


def real_array(values: ArrayLike, name: str = "values") -> np.ndarray:
    """Values as floats, of any shape.

    Raises: ValueError or TypeError, beginning with `name`, for None, sparse matrices, complex
      numbers and what NumPy cannot read as numbers.

    >>> real_array([1, 2]).tolist()
    [1.0, 2.0]
    """
    if values is None:
        raise ValueError(f"{name}: Expected array-like (array or non-string sequence), got None")
    if issparse(values):
        raise TypeError(f"{name}: sparse data is not supported; got a {type(values).__name__}")
    try:
        values = np.asarray(values)
        if values.dtype.kind == "c":  # a cast would drop the imaginary part
            raise ValueError("Complex data not supported")
        return values.astype(float, copy=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: must be real numbers; {error}") from error


def single_column(values: ArrayLike, name: str = "values") -> np.ndarray:
    """Values of one variable as floats: a single column [n, 1], as scikit-learn has it, is [n].

    Other shapes stay. Raises: as `real_array`.

    >>> single_column([[1.0], [2.0]]).tolist()
    [1.0, 2.0]
    """
    values = real_array(values, name)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def check_positive(values: np.ndarray, name: str) -> None:
    """ValueError, beginning with `name`, unless all values are finite and > 0.

    >>> check_positive(np.array([1.0, -2.0]), "law: x")
    Traceback (most recent call last):
    ValueError: law: x must be finite and > 0; got x[1] = -2.0
    """
    bad = np.argwhere(~(np.isfinite(values) & (values > 0)))
    if len(bad):
        index = tuple(bad[0].tolist())
        place = f"{name.split()[-1]}{list(index)} = " if index else ""
        raise ValueError(f"{name} must be finite and > 0; got {place}{values[index]}")

"""Numbers from outside as arrays; what is none is refused by name."""

import os
import tokenize
import zipfile
import zlib

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


def load_arrays(path: str | os.PathLike, expected: str) -> dict[str, np.ndarray]:
    """All arrays of an NPZ file; no code of the file runs.

    Args:
      expected: what the file should be, in words, for the error message.

    Raises: FileNotFoundError; ValueError in one line, beginning with the path, for whatever else
      is no whole NPZ file of plain arrays.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "weights.npz")
    >>> np.savez(path, a=[1, 2])
    >>> load_arrays(path, "weights")["a"].tolist()
    [1, 2]
    """
    try:
        with open(path, "rb") as opened:  # which NumPy would leave open where it finds no archive
            file = np.load(opened, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it holds one array and no names")
            with file:
                arrays = {name: file[name] for name in file.files}
        others = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if others:
            raise ValueError(f"{others[0]!r} in it is no array")
        return arrays
    except FileNotFoundError:
        raise
    except (
        *(OSError, ValueError, TypeError, KeyError, EOFError, SyntaxError, AttributeError),
        *(RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
    ) as error:
        first = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{path}: expected {expected}, a whole NPZ file of plain arrays; found none that can "
            f"be read ({type(error).__name__}: {first})"
        ) from None

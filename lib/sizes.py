"""Size parameters [a_0, a_1, ..., a_L] and the FLOPs they stand for, without Keras."""
import numpy as np

FAMILIES = ("mlp", "twin_tower")


def matrix_flops(size_parameters, family="mlp"):
    """FLOPs of the matrix products for one user-ad pair, [..., layers + 1] -> [...].

    A twin tower computes its layers above the first twice, once a side, and the inner
    product; its first layers share the inputs, so together they cost as much as an MLP's.

    >>> int(matrix_flops([3328, 1024, 256, 256, 256, 1]))
    7602688
    """
    size_parameters = np.asarray(size_parameters)
    products = size_parameters[..., :-1] * size_parameters[..., 1:]
    if family == "mlp":
        return 2 * products.sum(axis=-1)
    if family == "twin_tower":
        return 2 * (products[..., 0] + 2 * products[..., 1:].sum(axis=-1)
                    + size_parameters[..., -1])
    raise ValueError(f"matrix_flops: family must be 'mlp' or 'twin_tower'; got {family!r}")


def check_size_parameters(size_parameters, family="mlp"):
    """The size parameters as a tuple of int; ValueError if they describe no model.

    >>> check_size_parameters([12, 8, 1])
    (12, 8, 1)
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {family!r}")
    sizes = tuple(size_parameters)
    whole = all(isinstance(a, (int, np.integer)) and a >= 1 for a in sizes)
    if len(sizes) < 2 or not whole or (family == "mlp" and sizes[-1] != 1):
        end = ", the last of them 1" if family == "mlp" else ""
        raise ValueError(f"size parameters of a {family} must be two or more whole numbers "
                         f">= 1{end}; got {list(sizes)}")
    return tuple(int(a) for a in sizes)

"""What notebooks declare and what the committed profiles give them."""

import functools
import json

from lib.run import places
from lib.run.parameters import check_parameters, declared, read_parameters

NOTEBOOKS = sorted((places.REPOSITORY / "notebooks").glob("*.ipynb"))
FILES = sorted((places.REPOSITORY / "params").glob("*/*.yaml"))


@functools.cache
def defaults(stem):
    path = places.REPOSITORY / f"notebooks/{stem}.ipynb"
    return declared(json.loads(path.read_text()), source=path.name)


def values_of(path, **changes):
    """All parameters of a notebook as a committed file gives them, with changes."""
    return check_parameters(read_parameters(path), defaults(path.stem), source=path.name) | changes


def quick(stem, **changes):
    return values_of(places.REPOSITORY / f"params/quick/{stem}.yaml", **changes)

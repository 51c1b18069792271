"""Parameters: what a notebook declares in its tagged cell, what a run gives.

papermill only warns of a name that a notebook does not declare, and YAML reads
1e-3 as text; both are refused here, before a kernel starts.
"""

import ast
import contextlib
import io
import os
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from lib.infra.yaml_files import UniqueKeysLoader
from lib.run.places import shown

HINTS = {  # by pydantic's name of the error, where YAML read something else than was meant
    "float_type": "(in YAML write 1.0e-3, not 1e-3)",
    "int_type": "(in YAML write 1000, not 1e3 or '1000')",
    "string_type": "(put text in quotes)",
}


class _Loader(UniqueKeysLoader):
    """As papermill reads YAML: dates stay text."""

    yaml_implicit_resolvers: ClassVar = {
        first: [resolver for resolver in resolvers if not resolver[0].endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_parameters(path: str | os.PathLike) -> dict[str, Any]:
    """The parameters in a YAML file, {} if it is empty.

    Raises ValueError for what is no YAML in UTF-8 and for a name given twice, TypeError for
    no mapping of names to plain values.
    """
    source = shown(path)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{source}: expected text in UTF-8; found the byte 0x{error.object[error.start]:02x} "
            f"at position {error.start} (save the file as UTF-8)"
        ) from None
    except OSError as error:
        raise ValueError(f"{source}: cannot be read: {error.strerror}") from None
    values = _yaml(text, source=source)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise TypeError(f"{source}: expected lines 'name: value'; got {values!r}")
    return values


def read_overrides(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of the command line's -p NAME VALUE, values read as YAML.

    >>> read_overrides([("seed", "3"), ("sizes", "[64, 128]")])
    {'seed': 3, 'sizes': [64, 128]}
    """
    return {name: _yaml(value, source=f"-p {name}") for name, value in pairs}


def _yaml(text, *, source):
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: {error}") from None
    except RecursionError:
        raise ValueError(f"{source}: expected YAML; lists are nested too deeply") from None
    except (ValueError, TypeError, OverflowError) as error:  # a tag such as !!int that lies
        raise ValueError(f"{source}: not YAML of plain values: {error}") from None
    _check_plain(value, source, parents=())
    return value


def _check_plain(value, source, parents):
    """Refuse what JSON cannot hold: other types, by tags, names that are no text, and circles."""
    if any(value is parent for parent in parents):
        raise TypeError(f"{source}: expected plain values; a list or mapping holds itself")
    match value:
        case None | bool() | int() | float() | str():
            return
        case list():
            elements = value
        case dict():
            for name in value:
                if not isinstance(name, str):
                    raise TypeError(f"{source}: expected a text as a name; got {name!r}")
            elements = value.values()
        case _:
            raise TypeError(
                f"{source}: expected a number, a text, true, false, null, a list or a mapping; "
                f"got {value!r}"
            )
    for element in elements:
        _check_plain(element, source, (*parents, value))


def declared(notebook: Mapping, *, source: str) -> dict[str, Any]:
    """Names and defaults in the notebook's cell tagged `parameters`, without running it.

    Args:
      notebook: the notebook as a dictionary (nbformat 4).
      source: its name in error messages.

    Returns: {name: default}, in the order of the cell.

    Raises ValueError unless there is exactly one such cell, holding nothing but
    `name = literal` lines.
    """
    lines = _lines(notebook, source)[0]
    defaults = {}
    for line in lines:
        name, default = _assignment(line, source)
        if name in defaults:
            raise ValueError(f"{source}: parameter {name!r} is declared twice")
        defaults[name] = default
    return defaults


def explanations(notebook: Mapping, *, source: str) -> dict[str, tuple[str, str]]:
    """What the cell tagged `parameters` says of each parameter: the one place where it is said.

    Args: as `declared`.

    Returns: {name: (heading, text)}, in the order of the cell. The text is the comment behind the
      value, "" if there is none; the heading is the last comment on a line of its own above.

    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": "# How\\nseed = 0  # of draws"}
    >>> explanations({"cells": [cell]}, source="a.ipynb")
    {'seed': ('How', 'of draws')}
    """
    lines, text = _lines(notebook, source)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    said, heading, last = {}, "", 0
    for line in lines:
        between = range(last + 1, line.lineno)
        heading = [heading, *(comments[row] for row in between if row in comments)][-1]
        # Of a value of several lines, what stands inside explains a part of it.
        behind = [comments[row] for row in (line.lineno, line.end_lineno) if row in comments]
        said[_assignment(line, source)[0]] = heading, behind[0] if behind else ""
        last = line.end_lineno
    return said


def _lines(notebook, source):
    """The statements of the one cell tagged `parameters`, and its text."""
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{source}: expected one cell tagged 'parameters'; found {len(cells)}")
    text = "".join(cells[0]["source"])
    try:
        return ast.parse(text).body, text
    except SyntaxError as error:
        raise ValueError(f"{source}: the parameters cell is not Python: {error}") from None


def _assignment(line, source):
    text = ast.unparse(line)
    match line:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            with contextlib.suppress(ValueError):
                default = ast.literal_eval(value)
                if default is None or isinstance(default, bool | int | float | str | list | dict):
                    return name, default
    raise ValueError(
        f"{source}: the parameters cell holds {text!r}; expected NAME = a number, "
        "a text, True, False, None, a list or a dictionary, written out"
    )


def _kind(default):
    """The type that a parameter with this default takes.

    >>> _kind(0.5), _kind([[1, 2], [3]]), _kind([1, 0.5]), _kind([1, "a"])
    (<class 'float'>, list[list[int]], list[float], <class 'list'>)
    """
    match default:
        case None:
            return Any
        case list():
            element = _common([_kind(value) for value in default])
            return list if element in (None, Any) else list[element]
        case dict():
            element = _common([_kind(value) for value in default.values()])
            return dict if element in (None, Any) else dict[str, element]
    return type(default)


def _common(kinds):
    """The one type among `kinds`, None if there is none; whole numbers count as float."""
    if set(kinds) == {int, float}:
        return float
    return kinds[0] if kinds and all(kind == kinds[0] for kind in kinds) else None


def check_parameters(
    given: Mapping[str, Any], defaults: Mapping[str, Any], *, source: str
) -> dict[str, Any]:
    """All values of a run: the defaults, replaced by what is given.

    A value takes the type of its default: an integer does for a float, a boolean
    does for neither; a list whose default holds one type is checked element by
    element. A default of None takes anything but a number that YAML read as text.

    Args:
      given, defaults: {name: value}.
      source: where `given` stands, for error messages.

    Raises ValueError for a name that is not declared, TypeError for a wrong type.

    >>> check_parameters({"delta": 1}, {"delta": 1.0e-3, "seed": 7}, source="a.yaml")
    {'delta': 1.0, 'seed': 7}
    >>> check_parameters({"delta": "1e-3"}, {"delta": 1.0e-3}, source="a.yaml")
    Traceback (most recent call last):
    TypeError: a.yaml: delta must be float; got '1e-3' (in YAML write 1.0e-3, not 1e-3)
    """
    values = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise ValueError(
                f"{source}: unknown parameter {name!r}; the notebook takes {', '.join(defaults)}"
            )
        values[name] = _checked(name, value, _kind(defaults[name]), source)
    return values


def _checked(name, value, kind, source):
    if kind is Any and _is_number(value):
        raise TypeError(
            f"{source}: {name} is the text {value!r}; expected a number {HINTS['float_type']}"
        )
    try:
        return TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
    refused, steps = first["input"], "".join(f"[{step!r}]" for step in first["loc"])
    place = f" at {name}{steps}" if steps else ""
    hinted = _is_number(refused) or first["type"] == "string_type"
    hint = f" {HINTS[first['type']]}" if hinted and first["type"] in HINTS else ""
    expected = kind.__name__ if isinstance(kind, type) else kind
    raise TypeError(f"{source}: {name} must be {expected}; got {refused!r}{place}{hint}")


def _is_number(value):
    """Whether a text would be read as a number by Python."""
    if not isinstance(value, str):
        return False
    with contextlib.suppress(ValueError):
        float(value)
        return True
    return False

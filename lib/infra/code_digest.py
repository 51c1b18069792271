"""Which code a function's result depends on, and a digest of it.

The modules that a function's module imports, and what these import in turn, whether at their
head or inside a function: found in the source, so that nobody has to keep a list of them.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import sysconfig
from pathlib import Path


def code_digest(function):
    """Digest of the source that a function's result depends on, and of the libraries it uses.

    Covered are the function's module, every module of this project (or of the reader's, whatever
    is not installed) that it imports directly or through others, and name and version of every
    installed library that one of these imports. Comments, layout and docstrings change no result
    and do not count. A module that imports a package, or names from its `__init__`, depends on all
    of that package: inside this project, import from the module that defines a name.

    Args:
      function: importable by its name.

    Returns: hexadecimal text.
    Raises: ValueError for a function that no file defines, such as one of a notebook's cell.

    >>> code_digest(code_digest) == code_digest(code_modules)  # of one module
    True
    """
    if "<" in getattr(function, "__qualname__", ""):
        raise ValueError(f"code_digest: a function must stand at a module's head; got {function}")
    files = _closure(function.__module__)
    libraries = sorted({top for _, file in files for top in _tops(file) if not _origin(top)})
    described = [
        [[name, _source(file)] for name, file in files],
        [[name, *_versions(name)] for name in libraries],
        platform.python_version(),
    ]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def code_modules(module):
    """Names of the modules, installed libraries apart, that a module depends on, and its own.

    >>> "lib.infra.files" in code_modules("lib.infra.sweep")
    True
    """
    return [name for name, _ in _closure(module)]


@functools.cache
def _closure(module):
    """Sorted list of (module, file) that a module depends on, installed libraries apart."""
    if not _origin(module.partition(".")[0], of_function=True):
        raise ValueError(
            f"code_digest: a function must stand in a module that a file defines; "
            f"got one of {module!r}"
        )
    files, waiting = {}, [module]
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in files or file is None:
            continue
        files[name] = file
        waiting += [name.rpartition(".")[0]] if "." in name else []
        waiting += imported_modules(name)
    return sorted(files.items())


@functools.cache
def _origin(top, of_function=False):
    """File of a top-level module or package whose source counts; None for a library."""
    if top == "__main__":
        return None
    spec = importlib.util.find_spec(top)
    if spec is None or not (spec.origin or "").endswith(".py"):
        return None
    installed = any(
        Path(spec.origin).is_relative_to(sysconfig.get_path(kind))
        for kind in ("stdlib", "platstdlib", "purelib", "platlib")
    )
    own = of_function or top == __name__.partition(".")[0]
    return Path(spec.origin) if own or not installed else None


def _file(module):
    """File of a module whose source counts; None for a library's, or if there is none."""
    top, *steps = module.split(".")
    origin = _origin(top)
    if origin is None or not steps:
        return origin
    place = origin.parent.joinpath(*steps)
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if origin.name == "__init__.py" and file.is_file():
            return file
    return None


def imported_modules(module):
    """Modules, installed libraries apart, that one imports; of a package taken as such, all.

    >>> imported_modules("lib.infra.files")
    []
    """
    modules, file = [], _file(module)
    for source, names in _imports(file):
        if source.startswith("."):
            source = _absolute(source, module, file)
        if _file(source) is None:
            continue
        inside = [f"{source}.{name}" for name in names if _file(f"{source}.{name}")]
        whole = [source] if len(inside) < max(len(names), 1) else []
        for name in (*inside, *whole):
            modules += _all_of(name, _file(name))
    return modules


def _absolute(source, module, file):
    """The module that a relative import means."""
    level = len(source) - len(source.lstrip("."))
    steps = module.split(".")
    depth = len(steps) - level + (file.name == "__init__.py")
    return ".".join([*steps[:depth], *filter(None, [source.lstrip(".")])])


def _all_of(module, file):
    """A module, and if it is a package, which may hand out any name below it, all of these."""
    if file.name != "__init__.py":
        return [module]
    below = (path.relative_to(file.parent).with_suffix("") for path in file.parent.rglob("*.py"))
    return [".".join([module, *path.parts]).removesuffix(".__init__") for path in below]


def _tops(file):
    """Top-level names of all that a file imports."""
    return {source.partition(".")[0] for source, _ in _imports(file)} - {""}


@functools.cache
def _imports(file):
    """(module, names taken from it) of each import statement of a file, wherever it stands."""
    imports = []
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            imports += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            imports.append(("." * node.level + (node.module or ""), names))
    return imports


@functools.cache
def _source(file):
    """A file's code less comments, layout and docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@functools.cache
def _tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def _versions(library):
    """Name and version of the distributions that bring a library; none for Python's own."""
    names = _distributions().get(library, ())
    return sorted(f"{name} {importlib.metadata.version(name)}" for name in set(names))


@functools.cache
def _distributions():
    return importlib.metadata.packages_distributions()

"""The house: which room of lib imports which, one direction, no circle; what an import brings."""

import ast
import graphlib
import os
import re
import subprocess
import sys

import pytest

from lib.infra.code_digest import imported_modules
from tests import ROOT

# From the ground up: a room imports only from those before it, and of these only what stands here.
ROOMS = {
    "infra": set(),
    "models": {"infra"},
    "losses": {"infra"},
    "metrics": {"infra"},
    "laws": {"infra"},
    "validation": {"infra"},
    "simulation": {"infra"},
    "logs": {"infra", "models"},
    "training": {"infra", "models", "metrics", "logs"},
    "serving": {"infra", "models", "logs"},
    "cost": {"infra", "models", "losses", "training", "serving"},
    "experiments": {
        *("infra", "models", "losses", "metrics", "laws", "validation", "simulation"),
        *("logs", "training", "serving"),
    },
    "online": {
        *("infra", "models", "losses", "metrics", "simulation", "logs"),
        *("training", "serving", "cost", "experiments"),
    },
    "design": {"infra", "models", "serving", "cost"},
    "allocation": {"infra", "design"},
    "notebook": {
        *("infra", "models", "laws", "validation", "simulation", "logs"),
        *("cost", "experiments", "online", "design", "allocation"),
    },
    "run": {
        *("infra", "models", "laws", "validation", "simulation", "logs"),
        *("serving", "experiments", "online", "design", "notebook"),
    },
}
MOST_ROOMS = 17


def modules():
    """Name of each module of lib -> its file."""
    files = {path.relative_to(ROOT).with_suffix(""): path for path in (ROOT / "lib").rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): file for name, file in files.items()}


MODULES = modules()


def room(module):
    return module.split(".")[1]


def in_rooms():
    return [name for name in MODULES if "." in name and not room(name).startswith("__")]


def test_every_room_has_its_line():
    assert sorted(set(map(room, in_rooms()))) == sorted(ROOMS)
    assert len(ROOMS) <= MOST_ROOMS


def test_the_table_runs_one_way():
    order = list(ROOMS)
    for name, imports in ROOMS.items():
        assert imports <= set(order[: order.index(name)]), f"{name} imports from above"


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_what_the_table_says(name):
    arrows = {
        f"{module} -> {source}"
        for module in in_rooms()
        if room(module) == name
        for source in imported_modules(module)
        if "." in source and room(source) not in {name, *ROOMS[name]}
    }
    assert not arrows


def test_no_circle():
    # A package's face names all of its modules and is not imported by them.
    graph = {module: set(imported_modules(module)) - {module, "lib"} for module in in_rooms()}
    for module, sources in graph.items():
        parents = {module.rsplit(".", steps)[0] for steps in range(1, module.count("."))}
        assert not sources & parents, f"{module} imports a package that it stands in"
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def fresh(code):
    """What `code` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


HEAVY = ("keras", "tensorflow", "sklearn", "onnx", "onnxruntime", "matplotlib", "mlperf_loadgen")


@pytest.mark.parametrize(
    ("statement", "brings"),
    [
        ("import lib", set()),
        ("from lib.models import check_size_parameters, matrix_flops", set()),
        ("import lib.models.size_parameters", set()),
        ("from lib.cost import required_machines", set()),
        ("from lib.metrics import r_over_r_star, ndcg, recall, opa", set()),
        ("from lib.design import size_grid, best_size", set()),
        ("from lib.allocation import allocate", set()),
        ("from lib.logs import load_costs, read", set()),
        ("import lib.simulation", set()),
        ("from lib.cost import ServiceTimeModel", {"sklearn"}),
    ],
)
def test_an_import_brings_only_what_it_needs(statement, brings):
    code = f"import sys; {statement}; print(*({HEAVY!r} & sys.modules.keys()))"
    assert set(fresh(code.replace(repr(HEAVY), repr(set(HEAVY))))) == brings


def test_importing_lib_changes_nothing_in_the_process():
    code = (
        "import os, sys; before = dict(os.environ), list(sys.path), os.getcwd()\n"
        "import lib, lib.infra.settings, lib.models, lib.laws, lib.cost, lib.training\n"
        "print(before == (dict(os.environ), list(sys.path), os.getcwd()))"
    )
    assert fresh(code) == ["True"]


def test_settings_are_set_when_asked_and_never_over_the_reader_s():
    code = (
        "import os; os.environ['TF_NUM_INTRAOP_THREADS'] = '7'\n"
        "os.environ.pop('KERAS_BACKEND', None)\n"
        "from lib.infra.settings import configure; configure()\n"
        "print(os.environ['TF_NUM_INTRAOP_THREADS'], os.environ['KERAS_BACKEND'])"
    )
    assert fresh(code) == ["7", "tensorflow"]
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"  # by conftest.py, for all tests


# The table of engines lists engines, by their names in the costs table.
FACES = {name for name, file in MODULES.items() if file.stem == "__init__"} - {
    "lib.serving.engines"
}


@pytest.mark.parametrize("name", sorted(FACES))
def test_a_folder_says_what_its_modules_are(name):
    """A face's docstring names each module, where it lists them at all."""
    folder = MODULES[name].parent
    described = ast.get_docstring(ast.parse(MODULES[name].read_text())) or ""
    names = {path.stem for path in folder.glob("[a-z]*.py")}
    listed = {line.split()[0].rstrip("/,") for line in described.splitlines() if "  " in line}
    if names & listed:
        assert names - set(re.findall(r"[a-z_0-9]+", described)) == set()

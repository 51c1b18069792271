"""Which changes of code make a kept result another task's: all it depends on, and no others."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lib
from lib.infra.code_digest import code_digest, code_modules

LIB = Path(lib.__file__).parent
STUDY = "lib.experiments.study.tasks"
LOAD_TEST = "lib.serving.load.service_time"


def digests(folder, *modules):
    """code_digest of a function of each module, in a process that imports lib from `folder`."""
    code = (
        "import types, sys\n"
        "from lib.infra.code_digest import code_digest\n"
        "for name in sys.argv[1:]:\n"
        "    print(code_digest(types.SimpleNamespace(__module__=name)))\n"
    )
    command = [sys.executable, "-c", code, *modules]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return dict(zip(modules, done.stdout.split(), strict=True))


@pytest.fixture
def copied(tmp_path):
    shutil.copytree(LIB, tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def changed(file, text, by):
    source = file.read_text()
    assert text in source
    file.write_text(source.replace(text, by, 1))


@pytest.mark.slow
def test_a_change_of_code_that_a_study_depends_on_invalidates_it(copied):
    before = digests(copied, STUDY, LOAD_TEST)
    changed(copied / "lib/serving/graphs/export.py", "x >= 0", "x > 0")
    after = digests(copied, STUDY, LOAD_TEST)
    assert after[STUDY] != before[STUDY] and after[LOAD_TEST] != before[LOAD_TEST]


@pytest.mark.slow
def test_docstrings_comments_and_other_modules_do_not(copied):
    before = digests(copied, STUDY, LOAD_TEST)
    changed(copied / "lib/serving/graphs/export.py", '"""ONNX graphs', '# why\n"""All ONNX graphs')
    changed(copied / "lib/allocation/knapsack.py", '"""One budget', '"""A budget')
    changed(copied / "lib/allocation/knapsack.py", "_PASSES = 3", "_PASSES = 4")
    assert digests(copied, STUDY, LOAD_TEST) == before


def test_imports_inside_functions_and_through_faces_count(tmp_path):
    package = tmp_path / "toy"
    (package / "tools").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "task.py").write_text(
        "from toy.face import hammer\n\ndef run(task, path):\n    from . import late\n"
        "    import numpy\n    return late\n"
    )
    (package / "late.py").write_text("from toy.deep import x\n")
    (package / "deep.py").write_text("x = 1\n")
    (package / "alone.py").write_text("x = 1\n")
    (package / "face").mkdir()
    (package / "face/__init__.py").write_text("import lazy\nhammer = lazy.load('hidden')\n")
    (package / "face/hidden.py").write_text("from toy.face.below import y\n")
    (package / "face/below.py").write_text("y = 1\n")
    code = "from lib.infra.code_digest import code_modules; print(*code_modules('toy.task'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(LIB.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [
        "toy",
        "toy.deep",
        "toy.face",
        "toy.face.below",
        "toy.face.hidden",
        "toy.late",
        "toy.task",
    ]


def test_a_reader_s_own_task_depends_on_lib_too():
    modules = code_modules(__name__)
    assert __name__ in modules and "lib.infra.code_digest" in modules


def test_a_function_without_a_file_is_refused():
    function = type("Cell", (), {"__module__": "__main__"})
    with pytest.raises(ValueError, match="a file defines; got one of '__main__'"):
        code_digest(function)
    with pytest.raises(ValueError, match="got one of 'builtins'"):
        code_digest(len)

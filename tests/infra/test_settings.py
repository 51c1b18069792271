"""What `configure` sets, and what it says when the numbers will be others."""

import subprocess
import sys

import pytest

from lib.infra import settings
from tests import ROOT

SETTINGS = tuple(settings.SETTINGS)


def warning(environment, monkeypatch, capsys):
    """What `configure` says in an environment of these settings."""
    for name in (*SETTINGS, settings._WARNED):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    settings.configure()
    return capsys.readouterr().err


def test_silent_where_all_is_as_set(monkeypatch, capsys):
    assert warning({}, monkeypatch, capsys) == ""
    assert warning(settings.SETTINGS, monkeypatch, capsys) == ""
    assert warning({"TF_CPP_MIN_LOG_LEVEL": "0"}, monkeypatch, capsys) == ""  # only words


@pytest.mark.parametrize("name", settings.ARITHMETIC)
def test_a_reader_s_value_is_kept_and_said_once(name, monkeypatch, capsys):
    said = warning({name: "7"}, monkeypatch, capsys)
    assert said.count("\n") == 1
    assert f"{name} is '7' here, '{settings.ARITHMETIC[name]}' by the settings" in said
    settings.configure()
    assert capsys.readouterr().err == ""


def test_says_when_tensorflow_came_first(monkeypatch, capsys):
    for name in (*SETTINGS, settings._WARNED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    settings.configure()
    assert "TensorFlow was imported before TF_NUM_INTRAOP_THREADS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"), [("flags : sse2 avx2 fma", False), ("flags : sse2 avx", True), ("", False)]
)
def test_says_when_the_processor_has_other_functions(text, says, tmp_path, monkeypatch, capsys):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(settings, "_CPU_INFO", tmp_path / "cpuinfo")
    assert ("no AVX2" in warning({}, monkeypatch, capsys)) == says


def test_child_processes_get_them():
    code = (
        "from lib.infra.settings import configure; configure()\n"
        "from lib.infra.child_process import in_child\n"
        "import os, joblib\n"
        "name = 'TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL'\n"
        "print(in_child('a look', os.getenv, name))\n"
        "print(*joblib.Parallel(2)(joblib.delayed(os.getenv)(name) for _ in range(2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["false"] * 3 and done.stderr == ""

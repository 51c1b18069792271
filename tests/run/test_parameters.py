"""Parameters: what a notebook declares, what a YAML file gives."""

import nbformat
import pytest

from lib.run import places
from lib.run.parameters import check_parameters, declared, read_parameters


def notebook_of(parameters):
    cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[cell])


def test_declared_reads_literals_without_running():
    text = 'logs = None  # all\nn = -3\nsizes = [\n    64,  # small\n    128]\nd = {"a": 1.5}'
    assert declared(notebook_of(text), source="n") == {
        "logs": None,
        "n": -3,
        "sizes": [64, 128],
        "d": {"a": 1.5},
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("n = 10 ** 6", "holds 'n = 10 \\*\\* 6'; expected NAME = a number"),
        ("a = b = 1", "holds 'a = b = 1'"),
        ("import os", "holds 'import os'"),
        ("a = (1, 2)", "holds 'a = \\(1, 2\\)'"),
        ("a = 1\na = 2", "'a' is declared twice"),
        ("%matplotlib inline", "not Python"),
    ],
)
def test_declared_refuses(parameters, message):
    with pytest.raises(ValueError, match=message):
        declared(notebook_of(parameters), source="02.ipynb")


def test_declared_wants_one_tagged_cell():
    with pytest.raises(ValueError, match=r"02.ipynb: expected one cell tagged 'param.*; found 0"):
        declared(nbformat.v4.new_notebook(), source="02.ipynb")


@pytest.mark.parametrize(
    ("default", "value", "result"),
    [
        (1.0, 2, 2.0),
        (1, 2, 2),
        ("a", "b", "b"),
        (False, True, True),
        (None, "a.parquet", "a.parquet"),
        (None, None, None),
        (None, 3, 3),
        ([1.0], [1, 2], [1.0, 2.0]),
        ([1, 0.5], [2], [2.0]),
        ([], ["a"], ["a"]),
        ([1, "a"], ["b", 2], ["b", 2]),
        ([[1, 2], [3]], [[4]], [[4]]),
        ({"a": 1.0}, {"b": 2}, {"b": 2.0}),
    ],
)
def test_values_of_the_declared_type(default, value, result):
    checked = check_parameters({"x": value}, {"x": default}, source="a.yaml")["x"]
    assert repr(checked) == repr(result)


@pytest.mark.parametrize(
    ("default", "value", "message"),
    [
        (1.0, "1e-3", "a.yaml: x must be float; got '1e-3' (in YAML write 1.0e-3, not 1e-3)"),
        (None, "1e-3", "a.yaml: x is the text '1e-3'; expected a number (in YAML write 1.0e-3,"),
        (1, "1e3", "x must be int; got '1e3' (in YAML write 1000,"),
        (1, True, "x must be int; got True"),
        (1.0, True, "x must be float; got True"),
        (1, 2.0, "x must be int; got 2.0"),
        (True, 1, "x must be bool; got 1"),
        ("no", False, "x must be str; got False (put text in quotes)"),
        (1.0, None, "x must be float; got None"),
        ([1.0], 2.0, "x must be list[float]; got 2.0"),
        ([1.0], [1, "2e5"], "x must be list[float]; got '2e5' at x[1] (in YAML"),
        ([[1]], [[1], [2, 0.5]], "x must be list[list[int]]; got 0.5 at x[1][1]"),
        ({"a": 1}, {"a": "b"}, "x must be dict[str, int]; got 'b' at x['a']"),
    ],
)
def test_other_types_are_refused(default, value, message):
    with pytest.raises(TypeError) as error:
        check_parameters({"x": value}, {"x": default}, source="a.yaml")
    assert message in str(error.value)


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"a.yaml: unknown parameter 'sed'; .* takes seed, delta"):
        check_parameters({"sed": 1}, {"seed": 0, "delta": 0.1}, source="a.yaml")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("seed: 1\nseed: 2", ValueError, "'seed' is given twice"),
        ("a: {b: 1, b: 2}", ValueError, "'b' is given twice"),
        ("a: !!python/object/apply:os.getcwd []", ValueError, "python/object"),
        ("- 1", TypeError, r"expected lines 'name: value'; got \[1\]"),
        ("text", TypeError, r"expected lines 'name: value'; got 'text'"),
        ("false", TypeError, r"expected lines 'name: value'; got False"),
        ("[1, 2]: 3", ValueError, r"expected a name before ':'; found a list"),
        ("? {a: 1}\n: 3", ValueError, r"expected a name before ':'; found a list"),
        ("1: 3", TypeError, r"expected a text as a name; got 1"),
        ("a: {null: 3}", TypeError, r"expected a text as a name; got None"),
        ("a: !!set {b}", TypeError, r"expected a number, a text, .*; got {'b'}"),
        ("a: !!timestamp 2018-11-01", TypeError, r"expected a number.*2018, 11, 1"),
        ("a: !!int b", ValueError, r"not YAML of plain values: .*'b'"),
        ("a: &b [*b]", TypeError, r"expected plain values; a list .* holds itself"),
        ("a: " + 600 * "[", ValueError, r"nested too deeply"),
        ("a: \x07", ValueError, r"unacceptable character|special characters"),
        ("Grö\udcdfe: 1", ValueError, r"expected text in UTF-8; found the byte 0xdf at position 4"),
    ],
)
def test_yaml_files_are_read_strictly(tmp_path, text, error, message):
    file = tmp_path / "a.yaml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(error, match=rf"a\.yaml: [\s\S]*({message})"):
        read_parameters(file)


@pytest.mark.parametrize(
    ("encoding", "byte"), [("utf-16", "0xff at position 0"), ("latin-1", "0xf6 at position 8")]
)
def test_other_encodings_are_refused(tmp_path, encoding, byte):
    file = tmp_path / "a.yaml"
    file.write_bytes("data: Größe\n".encode(encoding))
    with pytest.raises(
        ValueError, match=rf"a\.yaml: expected text in UTF-8; found the byte {byte}"
    ):
        read_parameters(file)
    file.write_bytes("data: Größe\n".encode("utf-8-sig"))  # as editors on Windows save it
    assert read_parameters(file) == {"data": "Größe"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.yaml: cannot be read: No such file"):
        read_parameters(tmp_path / "absent.yaml")
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(ValueError, match=r"a\.yaml: cannot be read: Is a directory"):
        read_parameters(tmp_path / "a.yaml")


def test_yaml_is_read_as_papermill_reads_it(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("day: 2018-11-01\ndelta: 1.0e-3\nsizes: [1, 2]\n")
    assert read_parameters(file) == {"day": "2018-11-01", "delta": 0.001, "sizes": [1, 2]}
    file.write_text("# defaults\n")
    assert read_parameters(file) == {}


@pytest.mark.parametrize(
    "path",
    sorted((places.REPOSITORY / "params").glob("*/*.yaml")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_each_parameter_file_names_its_output(path):
    """So that papermill alone, given one of them, does not write over another profile."""
    output = f"outputs/{path.parent.name}/{path.stem}"
    assert read_parameters(path).get("output") == output

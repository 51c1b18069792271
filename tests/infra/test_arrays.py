"""Numbers from outside: columns, what is no number, files that are none of arrays."""

import io
import pickle
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from lib.infra.arrays import load_arrays, real_array, single_column


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 3), (2, 1, 1), (0,)])
def test_other_shapes_than_one_column_stay(shape):
    assert single_column(np.ones(shape)).shape == shape


def test_one_column_of_any_kind_is_a_list():
    table = pd.DataFrame({"flops": [1, 2, 3]})
    for column in (table, table.flops, [[1], [2], [3]], np.arange(1, 4)[:, None]):
        assert single_column(column).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (None, ValueError, "got None"),
        (csr_array(np.eye(2)), TypeError, "sparse data is not supported; got a csr_array"),
        ([1.0, 1j], ValueError, "Complex data not supported"),
        (["a", "b"], ValueError, "could not convert string to float: .*'a'"),
        ([[1, 2], [3]], ValueError, "inhomogeneous"),
        ([{}, 1], TypeError, "not 'dict'"),
    ],
)
def test_what_is_no_real_number_is_named(values, kind, message):
    with pytest.raises(kind, match=f"^law: x: .*{message}"):
        real_array(values, "law: x")


class Canary:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a file's code ran",)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def with_member(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


HUGE = npy(np.ones(3)).replace(b"(3,), }" + b" " * 12, b"(3000000000000,), }")
WHOLE = npz(a=np.arange(1000.0), b=np.arange(3))
DAMAGED = {
    "empty": b"",
    "torn": WHOLE[:4000],
    "flipped": WHOLE[:3000] + bytes([WHOLE[3000] ^ 255]) + WHOLE[3001:],
    "text": b"no arrays",
    "an object": npz(a=np.array([Canary()], dtype=object)),
    "a pickle": pickle.dumps(Canary()),
    "one array": npy(np.arange(3)),
    "an empty member": with_member("a.npy", b""),
    "a torn member": with_member("a.npy", npy(np.arange(9.0))[:100]),
    "a torn head": with_member("a.npy", npy(np.arange(9.0))[:40]),
    "a head that is no head": with_member("a.npy", npy(np.arange(9)).replace(b"shape", b"sha(e")),
    "an array larger than any memory": with_member("a.npy", HUGE),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line_and_no_code_runs(tmp_path, kind):
    path = tmp_path / "weights.npz"
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected the weights, a whole")) as e:
        load_arrays(path, "the weights")
    assert len(str(e.value).splitlines()) == 1


def test_whole_files_come_back(tmp_path):
    (tmp_path / "a.npz").write_bytes(WHOLE)
    assert {name: len(a) for name, a in load_arrays(tmp_path / "a.npz", "x").items()} == {
        "a": 1000,
        "b": 3,
    }
    with pytest.raises(FileNotFoundError, match="absent"):
        load_arrays(tmp_path / "absent.npz", "x")
    with pytest.raises(ValueError, match="expected x, a whole NPZ"):
        load_arrays(tmp_path, "x")

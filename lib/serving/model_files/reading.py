"""Any model file as an ONNX graph, read without running anything that is in it.

    file                      how it is read
    NAME.onnx                 ONNX, checked; weights beside it only inside its folder
    NAME.keras                Keras, its layers checked first, safe mode; then exported
    folder, saved_model.pb    SavedModel of TensorFlow 2, its operators checked first; exported

Keras and SavedModel files are checked and exported in a child process that can write nowhere and
connect to nothing (`lib.infra.confined`); what comes back is an ONNX graph, which is checked as
such a file is.

Other formats (pickles, .pt, .h5) can hold code and are refused. Save those as one of the
above: keras.Model.export(path, format="onnx"), torch.onnx.export, skl2onnx.to_onnx.
"""

import tempfile
from pathlib import Path

import onnx

from lib.infra.confined import run_confined
from lib.serving.model_files.onnx_files import MOST_BYTES, check_onnx, read_onnx

_LOOK_SECONDS, _EXPORT_SECONDS = 60.0, 180.0
_GIGABYTES = 8.0  # beside eight times the file's bytes
# Kind of file -> what looks at it, function(path), and what exports it, function(path, path of
# the ONNX file), both in a child process.
_LOOKS = {
    "Keras": "lib.serving.model_files.keras_files:look_at_keras",
    "SavedModel": "lib.serving.model_files.saved_models:look_at_saved_model",
}
_EXPORTS = {
    "Keras": "lib.serving.model_files.keras_files:export_keras",
    "SavedModel": "lib.serving.model_files.saved_models:export_saved_model",
}


def load(path) -> onnx.ModelProto:
    """A model file as an ONNX graph, for any engine of `lib.serving.engines`.

    Args:
      path: a file NAME.onnx or NAME.keras, or the folder of a SavedModel.

    Returns: onnx.ModelProto, weights included.
    Raises: FileNotFoundError; ValueError for a format that is not read, for a file that is
      damaged or too large, and for one that would run code, read or write files.

    >>> import tempfile
    >>> from lib.serving.graphs.export import naive, random_weights
    >>> path = Path(tempfile.mkdtemp()) / "model.onnx"
    >>> onnx.save(naive(random_weights([6, 4, 1], seed=0)), path)
    >>> [value.name for value in load(path).graph.input]
    ['user', 'ads']
    """
    path = Path(path)
    kind = file_format(path)
    if kind == "ONNX":
        return read_onnx(path)
    look_at(path)  # without TensorFlow, which takes seconds to import
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.onnx"
        try:
            _confined(_EXPORTS[kind], path, str(exported.resolve()), folder=folder)
            return check_onnx(onnx.load(exported, load_external_data=False))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def look_at(path: Path) -> dict:
    """What a Keras file or SavedModel says of itself, or why it is refused.

    Returns: dict of inputs and outputs, each a list of dict of name, shape (None an axis that may
      vary) and type, or None where they show only once the model is built.
    Raises: ValueError naming the file.
    """
    kind = file_format(path)
    check_stored(path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _confined(_LOOKS[kind], path, folder=folder)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _confined(function, path, *arguments, folder):
    return run_confined(
        function,
        str(path.resolve()),
        *arguments,
        folder=folder,
        seconds=_EXPORT_SECONDS if arguments else _LOOK_SECONDS,
        gigabytes=_GIGABYTES + 8 * check_stored(path) / 1e9,
    )


def file_format(path: Path) -> str:
    """ "ONNX", "Keras" or "SavedModel"; raises as `load` for what is none of them."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such model file")
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ValueError(f"{path}: a folder must be a SavedModel; it has no saved_model.pb")
        return "SavedModel"
    formats = {".onnx": "ONNX", ".keras": "Keras"}
    if path.suffix not in formats:
        raise ValueError(
            f"{path}: a model file must be .onnx, .keras or the folder of a "
            f"SavedModel; got {path.suffix or 'no suffix'}. Formats that can hold "
            f"code (.pkl, .pt, .h5) are not read: export the model to ONNX"
        )
    return formats[path.suffix]


def check_stored(path: Path) -> int:
    """Bytes of a Keras file, or of a SavedModel's files, which must all lie in its folder.

    Raises: ValueError naming the file.
    """
    folder, size = path.resolve(), 0
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file != path and not file.resolve().is_relative_to(folder):
            raise ValueError(f"{path}: {file.relative_to(path)} is a link that leaves the folder")
        if file.is_dir():
            continue
        if not file.is_file():
            raise ValueError(f"{path}: {file.name} must be a regular file")
        size += file.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(
            f"{path}: the model has {size / 2**30:.2f} GiB; up to 2 GiB can be measured, because "
            f"engines are given a model as one message"
        )
    return size

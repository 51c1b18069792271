"""What the features of a log are: a declaration in YAML, checked."""

import reprlib
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import yaml

from lib.infra.files import replacing
from lib.infra.yaml_files import UniqueKeysLoader
from lib.logs.errors import LogError

LOG_COLUMNS = ("impression_id", "timestamp", "v", "ecpm")
# Ids are read as int32, and a list's begin at 1; what is larger here is a slip of the pen.
Buckets = Annotated[int, pydantic.Field(gt=0, lt=2**31 - 1, strict=True)]
Width = Annotated[int, pydantic.Field(gt=0, le=1_000_000, strict=True)]
Name = Annotated[str, pydantic.Field(min_length=1)]
MOST_BYTES = 10_000_000  # of a features file: a log given in its place is not read to its end
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 2, 8, 80, 80


class Feature(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One column of the log that a model may read.

    kind:
      sparse        an id, integer or string, folded into `buckets`; embedded in `width`
      multi_valued  a list of ids, the first `length` kept, mean of their embeddings; -1 or ""
                    marks an empty place, other negative integers are ids
      dense         a number, or a list of `width` numbers, as it is
      statistical   a number >= 0, as log(1 + x) (section 3.3)
    """

    name: Name
    side: Literal["user", "ad"]
    kind: Literal["sparse", "multi_valued", "dense", "statistical"]
    buckets: Buckets | None = None
    width: Width = 1
    length: Width | None = None

    @pydantic.model_validator(mode="after")
    def _fields_fit_kind(self):
        embedded = self.kind in ("sparse", "multi_valued")
        if embedded != (self.buckets is not None):
            raise ValueError(
                f"buckets belong to sparse and multi_valued features; "
                f"{self.name} is {self.kind}, buckets = {self.buckets}"
            )
        if (self.kind == "multi_valued") != (self.length is not None):
            raise ValueError(
                f"length belongs to multi_valued features; "
                f"{self.name} is {self.kind}, length = {self.length}"
            )
        if self.kind == "statistical" and self.width != 1:
            raise ValueError(
                f"a statistical feature is one number; {self.name} has width = {self.width}"
            )
        return self


class Features(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The declared features, in the order in which a model concatenates them.

    >>> features = Features(features=[
    ...     {"name": "user_id", "side": "user", "kind": "sparse", "buckets": 100, "width": 8},
    ...     {"name": "bid", "side": "ad", "kind": "statistical"}])
    >>> features.width("user"), features.width("ad")
    (8, 1)
    """

    features: tuple[Feature, ...]

    @pydantic.model_validator(mode="after")
    def _names_are_unique_and_both_sides_present(self):
        names = [feature.name for feature in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        reserved = sorted({*names} & {*LOG_COLUMNS, "exposed", "stage"})
        if repeated or reserved:
            raise ValueError(
                f"feature names must be unique and not a log column; got {repeated or reserved}"
            )
        for side in ("user", "ad"):
            if not self.side(side):
                raise ValueError(f"at least one feature of side {side!r} is needed")
        rows = {}  # tables of one width lie in one, and its rows are counted in int32
        for feature in self.features:
            rows[feature.width] = rows.get(feature.width, 0) + (feature.buckets or -1) + 1
        if max(rows.values()) > 2**31:
            raise ValueError(
                f"features of one width have fewer than 2^31 buckets together; got "
                f"{max(rows.values()):,} of width {max(rows, key=rows.get)}"
            )
        return self

    def side(self, side) -> list[Feature]:
        """The features of 'user' or 'ad'."""
        return [feature for feature in self.features if feature.side == side]

    def width(self, side) -> int:
        """Inputs that this side adds to the concatenated vector."""
        return sum(feature.width for feature in self.side(side))

    def without(self, names) -> "Features":
        """The same declaration less the named features (an ablation)."""
        unknown = set(names) - {feature.name for feature in self.features}
        if unknown:
            raise ValueError(f"features to leave out are not declared: {sorted(unknown)}")
        return Features(
            features=[feature for feature in self.features if feature.name not in names]
        )


def short_repr(value) -> str:
    """A value as a message shows it: the beginning of one that may be a whole file.

    >>> short_repr(list(range(1000)))
    '[0, 1, 2, 3, 4, 5, 6, 7, ...]'
    """
    text = _SHORT.repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def load_features(path) -> Features:
    """Features declared in the YAML file at `path`, in UTF-8.

    Raises: LogError that names the file and the first field at fault.
    """
    if not str(path):
        raise LogError("features: no file is named; expected the path of a YAML file")
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise LogError(
                f"{path}: not a features file: expected a file, found a folder or device"
            )
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise LogError(f"{path}: not a features file: found more than {MOST_BYTES:,} bytes")
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise LogError(f"{path}: no such features file") from None
    except OSError as error:
        raise LogError(f"{path}: not a features file: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise LogError(
            f"{path}: found the byte {error.object[error.start]:#04x}, expected text in UTF-8"
        ) from None
    try:
        declaration = yaml.load(text, Loader=UniqueKeysLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-13-01
        raise LogError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise LogError(f"{path}: not readable as YAML: nested too deeply") from None
    try:
        return Features.model_validate(declaration)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "features"
        # Our own validators name what they found; their input is a whole declaration.
        own = first["type"] == "value_error"
        found = "" if own else f"; got {short_repr(first['input'])}"
        raise LogError(f"{path}: {field}: {first['msg']}{found}") from None


def save_features(path, features) -> None:
    """Write a features file that `load_features` reads back."""
    features = features if isinstance(features, Features) else Features(features=features)
    with replacing(path) as temporary:
        rows = [feature.model_dump(exclude_none=True) for feature in features.features]
        temporary.write_text(yaml.safe_dump({"features": rows}, sort_keys=False), encoding="utf-8")

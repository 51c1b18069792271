"""A request's tensors as what the model reads: one user, its candidates, raw values encoded.

A user feature is a tensor of its raw value as in a log: [1] for an id or a number, [k] for a list
of ids, [width] for a vector. `ad_id` [candidates] names the ads; the raw features of the ads, one
row a candidate, may come beside it, for those that nothing else knows.
"""

from typing import NamedTuple

import numpy as np

from lib.logs.encoding import beyond_float32, encode
from lib.logs.features import Feature, Features
from lib.online.prediction_server.protocol import RequestError, datatype

AD_ID = "ad_id"
_IDS = {"i": "integers", "u": "integers", "O": "strings"}


class Inputs(NamedTuple):
    """What a request asks for.

    Attributes:
      user: name -> encoded value, first axis of one.
      ad_ids: int64 [candidates].
      raw_ads: name -> raw values [candidates, ...]; None where none were sent.
    """

    user: dict[str, np.ndarray]
    ad_ids: np.ndarray
    raw_ads: dict[str, np.ndarray] | None


def read_inputs(tensors: dict[str, np.ndarray], features: Features, max_candidates: int) -> Inputs:
    """The inputs of a model with these features.

    Raises: RequestError that names the tensor, what was found and what was expected.
    """
    ad_ids = _ad_ids(tensors, max_candidates)
    user = {f.name: _user_value(tensors, f) for f in features.side("user")}
    raw_names = [f.name for f in features.side("ad") if f.name != AD_ID]
    unknown = sorted({*tensors} - {*user, AD_ID, *raw_names})
    if unknown:
        raise RequestError(
            f"tensor {unknown[0]!r} is not an input of this model, which reads "
            f"{', '.join([*user, AD_ID])} and, for unknown ads, {', '.join(raw_names) or 'no more'}"
        )
    given = [name for name in raw_names if name in tensors]
    if given and len(given) < len(raw_names):
        lacking = next(name for name in raw_names if name not in tensors)
        raise RequestError(
            f"tensor {lacking!r} is missing: raw ad features come all or not at all, and "
            f"{given[0]!r} was sent"
        )
    raw_ads = {name: _rows(tensors[name], name, len(ad_ids)) for name in given}
    return Inputs(user, ad_ids, {**raw_ads, AD_ID: ad_ids} if given else None)


def encode_ads(
    features: Features, raw_ads: dict[str, np.ndarray], rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Encoded features of the ads in some rows of a request's raw ones.

    Raises: RequestError, likewise.
    """
    return {f.name: _encoded(f, raw_ads[f.name][rows]) for f in features.side("ad")}


def describe_inputs(features: Features) -> list[dict]:
    """The inputs as the protocol's metadata describes tensors.

    An id may be an integer or a string, and must be what it was in the log: as text it belongs to
    another row of the embeddings.
    """

    def tensor(feature, lead):
        wide = {"multi_valued": [-1], "dense": [feature.width] if feature.width > 1 else []}
        shape = [*lead, *wide.get(feature.kind, [])] or [1]
        number = feature.kind in ("dense", "statistical")
        return {
            "name": feature.name,
            "datatype": "FP32" if number else "INT64",
            "shape": shape,
            "parameters": {
                "side": feature.side,
                "kind": feature.kind,
                "datatypes": ["FP32", "FP64", "FP16"] if number else ["INT64", "BYTES"],
                "optional": feature.side == "ad",
            },
        }

    ad_ids = {
        "name": AD_ID,
        "datatype": "INT64",
        "shape": [-1],
        "parameters": {"side": "ad", "optional": False},
    }
    return [
        *(tensor(feature, []) for feature in features.side("user")),
        ad_ids,
        *(tensor(feature, [-1]) for feature in features.side("ad") if feature.name != AD_ID),
    ]


def _ad_ids(tensors, most):
    if AD_ID not in tensors:
        raise RequestError(f"tensor {AD_ID!r} is missing: INT64 [candidates]")
    ad_ids = tensors[AD_ID]
    if ad_ids.dtype != np.int64:
        raise RequestError(f"tensor {AD_ID!r}: found {datatype(ad_ids)}, expected INT64")
    lead = ad_ids.shape[:-1]
    if ad_ids.ndim == 0 or lead not in ((), (1,)) or not 1 <= ad_ids.shape[-1] <= most:
        raise RequestError(
            f"tensor {AD_ID!r}: found the shape {list(ad_ids.shape)}, expected [candidates] with 1 "
            f"to {most} of them"
        )
    return ad_ids.reshape(-1)


def _user_value(tensors, feature):
    if feature.name not in tensors:
        raise RequestError(f"tensor {feature.name!r} is missing: the user's {feature.kind} feature")
    raw = tensors[feature.name]
    if raw.ndim not in (1, 2) or (raw.ndim == 2 and len(raw) != 1):
        _bad_shape(feature, raw)
    single = feature.kind == "sparse" or (feature.width == 1 and not feature.length)
    if single and raw.size != 1:
        _bad_shape(feature, raw)
    return _encoded(feature, raw.reshape(1) if single else raw.reshape(1, -1))


def _encoded(feature: Feature, raw):
    """Raw values [rows] or [rows, any] as the model reads them, checked as those of a log are."""
    name, found = feature.name, datatype(raw)
    vector = feature.kind == "multi_valued" or (feature.kind == "dense" and feature.width > 1)
    if not vector and raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1 + vector:
        _bad_shape(feature, raw)
    if feature.kind in ("sparse", "multi_valued"):
        if raw.dtype.kind not in _IDS:
            raise RequestError(f"tensor {name!r}: found {found}, expected ids, INT64 or BYTES")
        return encode(feature, raw)
    if raw.dtype.kind not in "iuf":
        raise RequestError(f"tensor {name!r}: found {found}, expected numbers, FP32")
    if vector and raw.shape[1] != feature.width:
        _bad_shape(feature, raw)
    if (bad := beyond_float32(raw)).any():
        raise RequestError(f"tensor {name!r}: found {raw[bad][0]}, expected a finite FP32")
    if feature.kind == "statistical" and (raw < 0).any():
        raise RequestError(f"tensor {name!r}: found {raw.min()}, expected a number >= 0")
    return encode(feature, raw)


def _rows(raw, name, count):
    if raw.ndim not in (1, 2) or len(raw) != count:
        raise RequestError(
            f"tensor {name!r}: found the shape {list(raw.shape)}, expected a row for each of the "
            f"{count} candidates"
        )
    return raw


def _bad_shape(feature, raw):
    form = {"multi_valued": "[k], a list of ids"}.get(
        feature.kind, "[1]" if feature.width == 1 or feature.buckets else f"[{feature.width}]"
    )
    if feature.side == "ad":
        form = f"a row a candidate, each {form}"
    raise RequestError(
        f"tensor {feature.name!r}: found the shape {list(raw.shape)}, expected {form}"
    )

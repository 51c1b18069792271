"""The types that a log's columns may have, and the one type that each is read as.

The files of a log may write a column differently: ids as uint64 in one and int64 in the next, texts
with or without a dictionary, times in other units or zones. All are read by value.

| column | as it may lie | read as |
| --- | --- | --- |
| `impression_id` | integers | int64 (uint64 beyond it wraps: only sameness counts) |
| `timestamp` | timestamps of any unit, without a zone in UTC; dates | microseconds, UTC |
| `v`, `ecpm`, numbers | integers, floats, decimals | as they are, or float64 |
| ids | integers of any width, whole decimals, texts, dictionaries of these | by value |
| lists | lists, large and of fixed size, of these | as their elements |
"""

import pyarrow as pa

from lib.logs.errors import LogError
from lib.logs.features import LOG_COLUMNS

TIME = pa.timestamp("us", "UTC")
WHOLE = pa.decimal128(20, 0)  # holds both what uint64 and what int64 holds
CONVERT_TIMES = 'a timestamp (of seconds since 1970 in pandas: pd.to_datetime(x, unit="s"))'
NO_MONEY = "; a log without money has ecpm 0 in every row"


def column_names(features, extra=()) -> list[str]:
    """The columns of a log that are read: its own, the features, and what is asked for beside."""
    return [*LOG_COLUMNS, *(feature.name for feature in features.features), *extra]


def check_schema(where, schema, features, extra=()):
    """LogError, naming `where`, unless a log of this Arrow schema can be read."""
    check_columns(where, schema, column_names(features, extra), features)


def check_columns(where, schema, names, features):
    """LogError, naming `where`, unless the columns `names` are there once, of types to be read."""
    for name in names:
        if name not in schema.names:
            raise LogError(
                f"{where}: column {name!r} is missing; the file has "
                f"{_some(schema.names)}{NO_MONEY if name == 'ecpm' else ''}"
            )
        if schema.names.count(name) > 1:
            raise LogError(
                f"{where}: {schema.names.count(name)} columns are called {name!r}; expected one"
            )
    for name, (accepts, expected) in _accepted(features).items():
        if name in names and not accepts(schema.field(name).type):
            raise LogError(
                f"{where}: column {name!r} must be {expected}; it is {schema.field(name).type}"
            )


def common_types(names, schemas, files, features) -> pa.Schema:
    """The types that columns of several files are read as, in the order of `names`.

    Args:
      names: columns; schemas: Arrow schemas with them; files: whose they are, for messages.
      features: a `Features` declaration, which says what is an id.

    Raises: LogError where no type holds the values of all, such as texts and numbers.
    """
    ids = {feature.name for feature in features.features if feature.buckets}
    fields = []
    for name in names:
        kinds = [schema.field(name).type for schema in schemas]
        common = _read_as(name, kinds[0], name in ids)
        # Almost always all are alike; only the others are looked at one by one.
        for kind in dict.fromkeys(kinds):
            try:
                common = _common(common, _read_as(name, kind, name in ids), name in ids)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                raise LogError(
                    f"{files[kinds.index(kind)]}: a column has another type than in {files[0]}: "
                    f"column {name!r} is {kind}, expected {kinds[0]} or what can be joined with it"
                ) from None
        if name == "impression_id":
            common = pa.int64()
        fields.append(pa.field(name, common))
    return pa.schema(fields)


def as_types(table, schema):
    """The columns of `schema` of a table, cast to its types where they are others.

    >>> table = pa.table({"id": pa.array([7], pa.uint64()), "note": ["x"]})
    >>> as_types(table, pa.schema([("id", pa.int64())])).schema.types
    [DataType(int64)]
    """
    columns = [
        column if column.type == field.type else column.cast(field.type, safe=_exact(field.type))
        for field, column in ((field, table.column(field.name)) for field in schema)
    ]
    return pa.table(columns, schema=schema)


def _exact(kind):
    """Whether a cast must keep every digit: not of times and floats; an impression's id wraps."""
    kind = kind.value_type if is_list(kind) else kind
    return not (pa.types.is_timestamp(kind) or pa.types.is_floating(kind) or kind == pa.int64())


def _read_as(name, kind, is_id):
    """A type that NumPy has values for and that Arrow can take to pieces, for one that may lie."""
    types = pa.types
    if name == "timestamp":
        return kind if types.is_timestamp(kind) else TIME
    if types.is_dictionary(kind) and not is_text(kind):
        return _read_as(name, kind.value_type, is_id)
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_decimal(kind):
        return WHOLE if is_id else pa.float64()
    if is_list(kind):
        element = _read_as(name, kind.value_type, is_id)
        return kind if element == kind.value_type else pa.large_list(element)
    return kind


def _common(first, second, is_id):
    """One type for the values of two."""
    types = pa.types
    if first == second:
        return first
    if types.is_timestamp(first) and types.is_timestamp(second):
        return TIME
    if is_list(first) and is_list(second):
        return pa.large_list(_common(first.value_type, second.value_type, is_id))
    if is_text(first) and is_text(second):
        if types.is_dictionary(first) and types.is_dictionary(second):
            return pa.dictionary(pa.int32(), _common(first.value_type, second.value_type, is_id))
        return pa.large_string()
    if is_id and _is_whole(first) and _is_whole(second):
        both = {first, second}
        if WHOLE in both or (pa.uint64() in both and any(map(types.is_signed_integer, both))):
            return WHOLE
    elif _is_number(first) and _is_number(second):
        return pa.float64()
    schemas = [pa.schema([pa.field("", kind)]) for kind in (first, second)]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _accepted(features):
    """Column -> (whether a type of Arrow will do, the expected type in words)."""
    columns = {
        "impression_id": (pa.types.is_integer, "an integer"),
        "timestamp": (_is_time, CONVERT_TIMES),
        "v": (_is_number, "a number"),
        "ecpm": (_is_number, "a number"),
    }
    for feature in features.features:
        columns[feature.name] = {
            "sparse": (_is_id, "an integer or a string"),
            "multi_valued": (_list_of(_is_id), "a list of integers or strings"),
            "statistical": (_is_number, "a number"),
            "dense": (_is_number, "a number")
            if feature.width == 1
            else (_list_of(_is_number), f"a list of {feature.width} numbers"),
        }[feature.kind]
    return columns


def is_list(kind) -> bool:
    """Whether an Arrow type is one of the lists that can be taken to pieces."""
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_text(kind) -> bool:
    """Whether an Arrow type holds texts, with a dictionary or without one."""
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_number(kind):
    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _is_whole(kind):
    decimal = pa.types.is_decimal(kind) and kind.scale == 0 and kind.precision <= WHOLE.precision
    return pa.types.is_integer(kind) or decimal


def _is_id(kind):
    return is_text(kind) or _is_whole(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _is_time(kind):
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def _list_of(element):
    return lambda kind: is_list(kind) and element(kind.value_type)


def _some(names, most=30):
    """Names joined, the first `most` of them: a log may have thousands of columns."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

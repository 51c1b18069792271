"""Which files a log is, and in which order they follow each other.

A folder is looked through with all its folders, as Hive, Spark and pandas leave one behind:

    logs/_SUCCESS
    logs/date=2026-11-01/part-00000.parquet
    logs/date=2026-11-02/part-00000.parquet

What begins with "." or "_" is no part of the log: a mark, a check sum, a file being written.
`key=value` in the name of a folder is a column of all its rows where something asks for a column
of that name that the files do not hold; otherwise it is left alone. The time stands in the files.
"""

import os
import urllib.parse
from pathlib import Path

import numpy as np
import pandas as pd

from lib.logs.errors import LogError

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def files_of(path) -> list[Path]:
    """The Parquet files of a log, in the order of their paths.

    Args:
      path: of one file, or of a folder.

    Raises: LogError where there are none, saying what is there instead.
    """
    if not str(path):
        raise LogError("logs: no file is named; expected a Parquet file, or a folder of them")
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise LogError(f"{path}: no such log (a Parquet file, or a folder of them)")
        return [path]
    seen = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if _visible(name))
        seen += [Path(folder, name) for name in names if _visible(name)]
    # Hive itself gives its files no suffix.
    files = [file for file in seen if file.suffix.lower() in (".parquet", ".parq", ".pq")]
    files = files or [file for file in seen if not file.suffix]
    if not files:
        found = f"; it holds {min(seen).relative_to(path)}" if seen else ""
        raise LogError(f"{path}: no such log (a Parquet file, or a folder of them){found}")
    return sorted(files)


def partition_of(file, root) -> dict[str, str | None]:
    """key -> value of the folders `key=value` between `root` and a file.

    >>> partition_of("logs/date=2026-11-01/country=a%2Fb/part-0.parquet", "logs")
    {'date': '2026-11-01', 'country': 'a/b'}
    """
    folders = Path(file).relative_to(root).parts[:-1] if Path(file) != Path(root) else ()
    pairs = [folder.split("=", 1) for folder in folders if "=" in folder]
    return {key: None if value == NO_VALUE else urllib.parse.unquote(value) for key, value in pairs}


def partition_columns(partitions) -> dict[str, list]:
    """Column -> its value in each file, of what all of their `partition_of` hold.

    Integers where all values are such and would be written so again, else texts.

    >>> partition_columns([{"hour": "9", "date": "2026-11-01"}, {"hour": "10"}])
    {'hour': [9, 10]}
    """
    columns = {}
    for key in partitions[0] if partitions else ():
        if all(key in partition for partition in partitions):
            values = [partition[key] for partition in partitions]
            given = [value for value in values if value is not None]
            whole = all(_is_int64(value) for value in given)
            columns[key] = [int(v) if whole and v is not None else v for v in values]
    return columns


def span(reader) -> tuple[np.datetime64, np.datetime64] | None:
    """Earliest and latest timestamp of a file, from its footer; None where it does not say.

    Args: reader: a `pyarrow.parquet.ParquetFile` with a column `timestamp`.
    """
    metadata = reader.metadata
    place = [
        i for i in range(metadata.num_columns) if metadata.schema.column(i).path == "timestamp"
    ]
    if len(place) != 1:
        return None
    ends = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place[0]).statistics
        if metadata.row_group(group).num_rows == 0:
            continue
        try:
            if statistics is None or not statistics.has_min_max:
                return None
            ends += [_utc(statistics.min), _utc(statistics.max)]
        except (ValueError, TypeError, OverflowError):  # no moment, or one beyond Python's
            return None
    return (min(ends), max(ends)) if ends else None


def in_time_order(spans) -> np.ndarray:
    """Places of files in the order of their beginnings; as they are where one is unknown.

    >>> late, early = np.array(["2026-11-02", "2026-11-01"], "datetime64[us]")
    >>> in_time_order([(late, late), (early, early)]).tolist()
    [1, 0]
    """
    if any(span is None for span in spans):
        return np.arange(len(spans))
    return np.argsort(np.array([first for first, _ in spans]), kind="stable")


def _visible(name):
    return not name.startswith((".", "_"))


def _is_int64(text):
    try:
        return str(int(text)) == text and -(2**63) <= int(text) < 2**63
    except ValueError:
        return False


def _utc(moment):
    moment = pd.Timestamp(moment)
    moment = moment.tz_convert(None) if moment.tzinfo else moment
    return moment.to_datetime64().astype("datetime64[us]")

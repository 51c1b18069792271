"""The ads that may be asked for: a folder of Parquet files, a row an ad, new ads in new files.

Columns are `ad_id`, an integer, and every ad feature of the model's declaration, raw as in a log.
A file is read once; an ad that comes again has the features of its first row. A file that is no
such table is left out and named: one bad file must not keep all other ads from being served.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.infra.files import replacing
from lib.logs.column_types import as_types, check_columns, common_types
from lib.logs.columns import encoded_column
from lib.logs.errors import LogError
from lib.logs.features import Features, short_repr
from lib.logs.log_files import DAMAGED, found_value, numpy_values

AD_ID = "ad_id"


class Catalogue:
    """Ads with their features as a model reads them; `refresh` reads what is new.

    Args:
      folder: of the Parquet files; it may be empty.
      features: a declaration, of which the ad's side is read.

    Attributes:
      ids: int64 [ads], in the order in which they were read.
      refused: file that was left out -> why: column, row, what was found and expected.
    """

    def __init__(self, folder, features: Features):
        self.folder, self.features = Path(folder), features
        self.ids = np.empty(0, np.int64)
        self.refused = {}
        self._read, self._values = set(), {}
        self._sorted, self._order = self.ids, self.ids
        self.refresh()

    def __len__(self):
        return len(self.ids)

    def refresh(self) -> int:
        """Read the files that came since; returns how many ads are new."""
        parts = []
        for file in sorted({*self.folder.glob("[!.]*.parquet")} - self._read):
            self._read.add(file)
            try:
                parts.append(self._file(file))
            except LogError as error:
                self.refused[file] = str(error)
        ids = np.concatenate([self.ids, *(ids for ids, _ in parts)])
        _, first = np.unique(ids, return_index=True)
        stays = np.sort(first)
        before = len(self.ids)
        values = {}
        for feature in self.features.side("ad"):
            columns = [encoded[feature.name] for _, encoded in parts]
            if before:
                columns.insert(0, self._values[feature.name])
            if columns:
                values[feature.name] = np.concatenate(columns)[stays]
        self.ids, self._values = ids[stays], values
        self._order = np.argsort(self.ids, kind="stable")
        self._sorted = self.ids[self._order]
        return len(self.ids) - before

    def encoded(self, rows) -> dict[str, np.ndarray]:
        """Encoded features of ads by their place in `ids` (a slice or integers)."""
        return {name: values[rows] for name, values in self._values.items()}

    def find(self, ad_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(places in `ids` [n], whether it has the ad, bool [n])."""
        if not len(self.ids):
            return np.zeros(len(ad_ids), np.int64), np.zeros(len(ad_ids), bool)
        place = np.minimum(np.searchsorted(self._sorted, ad_ids), len(self.ids) - 1)
        return self._order[place], self._sorted[place] == ad_ids

    def _file(self, file):
        try:
            reader = pq.ParquetFile(file)
            names = [AD_ID, *(f.name for f in self.features.side("ad") if f.name != AD_ID)]
            schema = reader.schema_arrow
            check_columns(file, schema, names, self.features)
            if not pa.types.is_integer(schema.field(AD_ID).type):
                raise LogError(
                    f"{file}: column {AD_ID!r} must be an integer; it is {schema.field(AD_ID).type}"
                )
            table = reader.read(columns=names)
            table = as_types(table, common_types(names, [schema], [file], self.features))
        except DAMAGED as error:
            raise LogError(f"{file}: not a Parquet file: {' '.join(str(error).split())}") from None
        at = _File(file)
        for name in names:
            if table.column(name).null_count:
                nulls = table.column(name).is_null().to_numpy()
                at.refuse(0, nulls, name, table, "a value")
        encoded = {
            feature.name: encoded_column(at, 0, table, feature)
            for feature in self.features.side("ad")
        }
        return numpy_values(table.column(AD_ID)).astype(np.int64), encoded


class _File:
    """Names file, column and row of a bad value, as a log does."""

    def __init__(self, file):
        self.file = file

    def refuse(self, row, bad, column, table, expected):
        if bad.any():
            place = int(np.argmax(bad))
            found = found_value(table.column(column)[place])
            raise LogError(
                f"{self.file}: column {column!r}, row {row + place}: found {short_repr(found)}, "
                f"expected {expected}"
            )


def add_ads(folder, name: str, table: pa.Table) -> Path:
    """Put a file of ads into a catalogue's folder, whole or not at all; its path."""
    path = Path(folder, f"{name}.parquet")
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
    return path

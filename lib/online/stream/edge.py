"""Records as arrays, checked: what cannot be used is set aside, the rest goes on.

Many records become one table, so that checks and encodings (`lib.logs.columns`) run once over all.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.logs.columns import impression_arrays
from lib.logs.impressions import Impressions
from lib.logs.log_files import check_values, numpy_values, timestamps
from lib.online.stream.records import RecordSchema

MALFORMED, AHEAD = "malformed", "ahead"


class BadImpressions(ValueError):
    """Some impressions of a table that cannot be used.

    Attributes: impressions [k], their places; found [k]; column, expected.
    """

    def __init__(self, impressions, column, found, expected):
        super().__init__(column)
        self.impressions, self.found = impressions, found
        self.column, self.expected = column, expected


class Edge:
    """Turns records of one schema into impressions of one width.

    Args:
      schema: of the records.
      ads: pad every list to this many; a longer one is malformed.
      ahead_seconds: an impression may be so much later than its record was written.
    """

    def __init__(self, schema: RecordSchema, ads: int, ahead_seconds: float):
        self.schema, self.ads = schema, ads
        self.features, self.extra = schema.features, schema.extra
        self.ahead = int(ahead_seconds * 1e6)

    def impressions(self, batches: list[pa.RecordBatch], written: list[int], set_aside):
        """The impressions of `batches` that can be used.

        Args:
          written: of each batch, when, in microseconds.
          set_aside: called with (number of the batch, place in it, reason, detail, the impression
            as a batch of one) for each that cannot.

        Returns: (Impressions, [B] number of the batch that each is of, [B] its place there), or
          (None, an empty array, an empty array).
        """
        sizes = [batch.num_rows for batch in batches]
        owner = np.repeat(np.arange(len(batches)), sizes)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        table = pa.Table.from_batches(batches, self.schema.arrow)
        latest = np.array(written, np.int64) + self.ahead
        while len(table):
            try:
                return self._arrays(table, latest[owner]), owner, place
            except BadImpressions as bad:
                # Rare, and so simple: each turn frees the table of one kind of them.
                for i, found in zip(bad.impressions, bad.found, strict=True):
                    detail = f"column {bad.column!r}: found {found!r}, expected {bad.expected}"
                    row = table.slice(i, 1).combine_chunks().to_batches()[0]
                    reason = AHEAD if bad.expected.startswith("no later") else MALFORMED
                    set_aside(int(owner[i]), int(place[i]), reason, detail, row)
                keep = np.ones(len(table), bool)
                keep[bad.impressions] = False
                table = table.filter(pa.array(keep))
                owner, place = owner[keep], place[keep]
        return None, owner, place

    def _arrays(self, table, latest) -> Impressions:
        rows = np.arange(len(table))
        users = table.select(self.schema.of_impression)
        check_values(self, rows, users, users.column_names)
        late = timestamps(users).view(np.int64) > latest
        self.refuse(rows, late, "timestamp", users, "no later than its record was written")
        lists = {name: table.column(name).combine_chunks() for name in self.schema.of_ads}
        lengths = self._lengths(rows, table, lists)
        ads = pa.table({name: column.flatten() for name, column in lists.items()})
        owner = np.repeat(rows, lengths)
        check_values(self, owner, ads, ads.column_names)
        starts = np.cumsum(lengths) - lengths
        return impression_arrays(self, rows, users, owner, ads, starts, self.ads)

    def _lengths(self, rows, table, lists):
        """Ads of each impression, after what is no list of one length in all columns is refused."""
        expected = f"a list of 1 to {self.ads} ads"
        first = None
        for name, column in lists.items():
            lengths = numpy_values(pc.fill_null(pc.list_value_length(column), -1))
            if first is None:
                self.refuse(rows, (lengths < 1) | (lengths > self.ads), name, table, expected)
                first = lengths
            self.refuse(rows, lengths != first, name, table, "as many ads as in other columns")
        return first

    def refuse(self, row, bad, column, table, expected):
        """BadImpressions for all True of `bad`; `row` [rows of table]: of which impression."""
        if bad.any():
            impressions, first = np.unique(row[bad], return_index=True)
            places = np.flatnonzero(bad)[first]
            found = table.column(column).take(places).to_pylist()
            raise BadImpressions(impressions, column, found, expected)

"""A partition's clock, and what goes to the dead letters on its way."""

import base64
import json
import struct
import zlib

from lib.online.stream import records
from lib.online.stream.dead_letters import DeadLetters
from lib.online.stream.edge import Edge
from lib.online.stream.partition import BEFORE, Partition, Position
from tests.online.stream.small_stream import END, SCHEMA, SECOND, ListStream, mark, record
from tests.small_log import FEATURES, make_log


def read(tmp_path, *payloads, position=None, **options):
    stream = ListStream(payloads, chunk=2)
    with DeadLetters(tmp_path / "dead.jsonl") as letters:
        partition = Partition(
            stream,
            0,
            position or Position(0, BEFORE, {}),
            edge=Edge(SCHEMA, 3, ahead_seconds=10),
            dead_letters=letters,
            window=10 * SECOND,
            lateness=5 * SECOND,
            **options,
        )
        while partition.fetch(1, 0.0):
            pass
    lines = (tmp_path / "dead.jsonl").read_text().splitlines()
    return partition, [json.loads(line) for line in lines]


def windows(partition):
    return {
        number: [i for part in parts for i in part.impression_id.tolist()]
        for number, parts in partition.pending.items()
    }


def test_windows_and_positions_by_hand(tmp_path):
    partition, letters = read(
        tmp_path,
        record((1, 5), (2, 12), sequence=0),
        record((3, 8), sequence=1),  # arrives in window 1, joins it
        mark(31),
        record((4, 28), (5, 14), sequence=2),  # in window 3: one joins, one is too late
        record((6, 41)),
    )
    assert windows(partition) == {0: [1], 1: [2, 3], 3: [4], 4: [6]}
    assert [(letter["offset"], letter["impression"], letter["reason"]) for letter in letters] == [
        (3, 1, "late")
    ]
    assert partition.counts == {
        BEFORE: {"records": 1},
        1: {"records": 2, "late impressions": 1},
        3: {"records": 2, "late impressions": 1, "dead late impressions": 1},
    }
    assert partition.clock == 41 * SECOND and partition.read_to == 5
    assert partition.behind(0) == 0 and partition.behind(1) == 3 and partition.behind(4) == 5
    # From where windows are read again: record 0 holds some of window 1.
    assert partition.position(1) == Position(0, BEFORE, {})
    assert partition.position(2) == Position(3, 31 * SECOND, {"p": 1})
    assert partition.position(5) == Position(5, 41 * SECOND, {"p": 2})


def test_reading_again_from_a_position_gives_the_rest(tmp_path):
    payloads = [
        record((1, 5), (2, 12), sequence=0),
        record((3, 8), sequence=1),
        record((4, 21), sequence=2),
        record((4, 21), sequence=2),
    ]
    partition, _ = read(tmp_path, *payloads)
    position = partition.position(1)
    again, _ = read(tmp_path, *payloads, position=position, earliest=1)
    assert windows(again) == {1: [2, 3], 2: [4]}
    assert again.counts == {1: {"records": 1, "late impressions": 1}} | {
        1: partition.counts[1],
        2: partition.counts[2],
    }


def test_what_is_no_record_goes_whole_and_the_rest_goes_on(tmp_path):
    sound = record((1, 1))
    other = records.RecordSchema.of(make_log(count=3).schema, FEATURES)
    nonsense = bytearray(record((7, 7)))
    nonsense[-8:] = b"\xff" * 8
    nonsense[4:8] = struct.pack("<I", zlib.crc32(nonsense[8:]))
    payloads = [
        sound,
        b"",
        sound[:-3],
        b"{}",
        records.mark(other, 0),
        records.mark(SCHEMA, 50 * SECOND, written=0),  # 50 s before its time
        record((2, 2)),
    ]
    partition, letters = read(tmp_path, *payloads)
    assert windows(partition) == {0: [1, 2]}
    reasons = ["damaged", "damaged", "damaged", "schema", "ahead"]
    assert [letter["reason"] for letter in letters] == reasons
    assert [letter["offset"] for letter in letters] == [1, 2, 3, 4, 5]
    for letter in letters:
        assert letter["impression"] is None
        assert base64.b64decode(letter["raw"]) == payloads[letter["offset"]]
    assert sum(map(dict, partition.counts.values()), start=_Sum()).total == {
        "records": 7,
        "dead damaged records": 3,
        "dead schema records": 1,
        "dead ahead records": 1,
    }


class _Sum:
    """Adds dictionaries, so that zeros and negatives would show."""

    def __init__(self, total=None):
        self.total = total or {}

    def __add__(self, counts):
        names = {**self.total, **counts}
        return _Sum({name: self.total.get(name, 0) + counts.get(name, 0) for name in names})


def test_a_dead_impression_can_be_sent_again(tmp_path):
    _, (letter,) = read(tmp_path, mark(100), record((1, 99), (2, 3)))
    batch = records.batch_of(SCHEMA, records.decode(SCHEMA, base64.b64decode(letter["raw"])))
    assert batch.column("impression_id").to_pylist() == [2]
    assert batch.column("bid").to_pylist() == [[0.25, 0.25]]


def test_a_clock_that_is_wrong_makes_nothing_late(tmp_path):
    """One impression of the year 2100 in a record of today."""
    payloads = [record((1, 1), (2, 4e9), written=5 * SECOND), record((3, 6), written=7 * SECOND)]
    partition, (letter,) = read(tmp_path, *payloads)
    assert windows(partition) == {0: [1, 3]}
    assert (letter["impression"], letter["reason"]) == (1, "ahead")


def test_out_of_order_within_a_window_is_only_counted(tmp_path):
    partition, letters = read(tmp_path, record((1, 5), (2, 3)), record((3, 4), (4, 9)), END)
    assert windows(partition) == {0: [1, 2, 3, 4]} and not letters
    assert sum(c["out of order impressions"] for c in partition.counts.values()) == 2


def test_what_comes_behind_the_end_is_late(tmp_path):
    partition, letters = read(tmp_path, record((1, 5)), END, record((2, 6)))
    assert windows(partition) == {0: [1]}
    assert [letter["reason"] for letter in letters] == ["late"]

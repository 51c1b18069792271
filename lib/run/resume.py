"""What a finished notebook depended on, so that it is run again only if that changed."""

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from lib.infra.files import write_json
from lib.infra.timings import RECORD
from lib.run import places
from lib.run.digests import Digests
from lib.run.plan import Job

# Of a run that is at work or was killed, and no result.
_OF_A_RUN = re.compile(r"\.lock|\..*\.(unfinished|finished)|\..*\.part(\..*)?|\.begun-.*")


def stamp(job: Job) -> str:
    """Hash of what a notebook's results depend on.

    Its code, its parameters, the content of the files these name, lib's source, the versions of
    the packages, the record of timings if one is given, and which run of each earlier
    notebook of the profile it follows.
    """
    code = [cell.source for cell in job.notebook.cells if cell.cell_type == "code"]
    sources = [path.read_text() for path in sorted((places.REPOSITORY / "lib").rglob("*.py"))]
    lock = (places.REPOSITORY / "requirements.lock").read_text()
    earlier = [_record(job.folder, stem).get("run") for stem in job.after]
    with _digests(job) as digests:
        inputs = {str(file): _digest(digests, file) for file in _input_files(job)}
    everything = json.dumps([code, job.values, sources, lock, earlier, inputs])
    return hashlib.sha256(everything.encode()).hexdigest()


@contextlib.contextmanager
def _digests(job):
    digests = Digests(job.folder / "cache" / "digests.json")
    yield digests
    digests.save()


def _digest(digests, file):
    """A file's digest, None where it cannot be read."""
    with contextlib.suppress(OSError):
        return digests.of(file)


def _input_files(job) -> Iterator[Path]:
    """The files that the parameters name; for a folder, those in it and below.

    The record of timings, taken for measured ones, is one as well. What the notebook itself
    writes is left out.
    """
    texts = _texts([value for name, value in job.values.items() if name != "output"])
    texts = {*texts, os.environ.get(RECORD, "")}
    for path in sorted({places.root() / text for text in texts if text}):
        with contextlib.suppress(OSError, ValueError):  # a text that can be no file's name
            # Of a folder that holds everything here, what lies below it is no input.
            below = path.glob if places.root().is_relative_to(path.resolve()) else path.rglob
            for file in sorted(below("*")) if path.is_dir() else [path]:
                if file.is_file() and not file.is_relative_to(job.output):
                    yield file


def _texts(value):
    match value:
        case str():
            yield value
        case list():
            for element in value:
                yield from _texts(element)
        case dict():
            yield from _texts(list(value.values()))


def is_finished(job: Job) -> bool:
    """Whether the notebook's last run ended well, its results are as it left them, and hold.

    A damaged record of the last run is named, and counts as none.
    """
    record = _record(job.folder, job.stem)
    path = _record_path(job.folder, job.stem)
    if not record and path.exists():
        print(f"{job.stem}: {places.shown(path)} is damaged, so the notebook runs again")
    return (
        bool(record)
        and job.executed.is_file()  # which a reader may have written comments into
        and record["stamp"] == stamp(job)
        and record["results"].items() <= _results(job, record["results"]).items()
    )


def forget(job: Job) -> None:
    """Drop the record of a notebook's last run, before its results change."""
    _record_path(job.folder, job.stem).unlink(missing_ok=True)


def remember(job: Job, started_from: str) -> None:
    """Record that a notebook finished; `started_from` is its stamp when it began."""
    results = _results(job, map(str, _result_files(job)))
    write_json(
        _record_path(job.folder, job.stem),
        {"stamp": started_from, "run": time.time_ns(), "results": results},
    )


def _result_files(job):
    """Paths of what lies in the notebook's output, relative to it."""
    for place, folders, files in os.walk(job.output):
        folders[:] = [name for name in folders if not _OF_A_RUN.fullmatch(name)]
        here = Path(place).relative_to(job.output)
        yield from (here / name for name in files if not _OF_A_RUN.fullmatch(name))


def _results(job, names):
    """{path in the output: digest} of those of the files that are there."""
    with _digests(job) as digests:
        found = {name: _digest(digests, job.output / name) for name in names}
    return {name: digest for name, digest in found.items() if digest}


def _record(folder, stem):
    # RecursionError: lists in lists in lists; others: absent, or not what `remember` wrote.
    with contextlib.suppress(OSError, ValueError, RecursionError):
        match json.loads(_record_path(folder, stem).read_text(encoding="utf-8")):
            case {"stamp": str(), "run": int(), "results": dict(results)} as record if all(
                isinstance(digest, str) for digest in results.values()
            ):
                return record
    return {}


def _record_path(folder, stem):
    # In cache/, which is not committed: a fresh clone has the executed notebooks
    # but not all the tables that they wrote, so there everything runs once.
    return folder / "cache" / f"{stem}.json"

"""What a finished notebook depended on, so that it is run again only if that changed."""

import contextlib
import hashlib
import json
import os
import time

from lib.infra.files import write_json
from lib.infra.timings import RECORD
from lib.run import places
from lib.run.plan import Job


def stamp(job: Job) -> str:
    """Hash of what a notebook's results depend on.

    Its code, its parameters, the files these name, lib's source, the versions of
    the packages, the record of timings if one is given, and which run of each earlier
    notebook of the profile it follows.
    """
    code = [cell.source for cell in job.notebook.cells if cell.cell_type == "code"]
    sources = [path.read_text() for path in sorted((places.REPOSITORY / "lib").rglob("*.py"))]
    lock = (places.REPOSITORY / "requirements.lock").read_text()
    earlier = [_record(job.folder, stem).get("run") for stem in job.after]
    record = os.environ.get(RECORD, "")  # of timings, taken for measured ones
    everything = json.dumps(
        [code, job.values, sources, lock, earlier, record, list(_input_files(job))]
    )
    return hashlib.sha256(everything.encode()).hexdigest()


def _input_files(job):
    """Path, size and time of change of the files that the parameters name.

    For a folder, of the files in it; what the notebook itself writes is left out.
    """
    texts = _texts([value for name, value in job.values.items() if name != "output"])
    for path in sorted({places.root() / text for text in texts if text}):
        if path.is_relative_to(job.output):
            continue
        with contextlib.suppress(OSError):  # a text too long for a file's name
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                if file.is_file():
                    yield [str(file), file.stat().st_size, file.stat().st_mtime_ns]


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
    """Whether the notebook's last run ended well, left all its files, and still holds."""
    record = _record(job.folder, job.stem)
    return (
        record.get("stamp") == stamp(job)
        and job.executed.is_file()
        and record["sizes"].items() <= _sizes(job.output).items()
    )


def forget(job: Job) -> None:
    """Drop the record of a notebook's last run, before its results change."""
    _record_path(job.folder, job.stem).unlink(missing_ok=True)


def remember(job: Job, started_from: str) -> None:
    """Record that a notebook finished; `started_from` is its stamp when it began."""
    write_json(
        _record_path(job.folder, job.stem),
        {"stamp": started_from, "run": time.time_ns(), "sizes": _sizes(job.output)},
    )


def _record(folder, stem):
    with contextlib.suppress(OSError, ValueError):  # absent, or not what `remember` wrote
        match json.loads(_record_path(folder, stem).read_text()):
            case {"stamp": str(), "run": int(), "sizes": dict()} as record:
                return record
    return {}


def _record_path(folder, stem):
    # In cache/, which is not committed: a fresh clone has the executed notebooks
    # but not all the tables that they wrote, so there everything runs once.
    return folder / "cache" / f"{stem}.json"


def _sizes(folder):
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }

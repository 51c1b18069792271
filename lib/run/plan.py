"""A run: which notebooks, in which order, with which parameters."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.run import places
from lib.run.parameters import check_parameters, declared, read_parameters

if TYPE_CHECKING:
    import nbformat

SUMMARY = "summary.json"  # that a report writes
# YAML files that a profile of one's own may hold beside those of notebooks.
OTHER_FILES = ("question.yaml", "features.yaml")


@dataclass(frozen=True)
class Job:
    """One notebook with the parameters of one profile."""

    stem: str
    profile: str  # as `lib.run.places.profile` names it
    notebook: dict  # NotebookNode, as read
    given: dict  # the parameters that papermill sets
    values: dict  # these and the defaults of the others
    after: tuple  # stems of the notebooks before it in the profile

    @property
    def folder(self) -> Path:
        return places.results_of(self.profile)

    @property
    def executed(self) -> Path:
        return self.folder / f"{self.stem}.ipynb"

    @property
    def output(self) -> Path:
        return places.root() / self.values["output"]


def plan(
    names: Iterable[str] = (), profile: str = "quick", overrides: Mapping[str, Any] | None = None
) -> list[Job]:
    """The notebooks of a run in order, their parameters checked.

    Args:
      names: notebooks to run, as 02, 02_bnsl_fitting or a path; all of the
        profile if empty. A profile leaves out the notebooks it has no YAML file for.
      profile: a folder below params/, or the path of one's own, to be run inside
        `lib.run.places.of_profile` so that relative paths start there.
      overrides: {name: value}, for every notebook of the run that declares the name.

    Returns: list of Job.

    Raises ValueError or TypeError for anything that a notebook does not declare, and for an
    output that would replace other results than the notebook's own.
    """
    overrides = dict(overrides or {})
    notebooks = {
        path.stem: path for path in sorted((places.REPOSITORY / "notebooks").glob("*.ipynb"))
    }
    if not ((places.REPOSITORY / "params").is_dir() and notebooks):
        raise ValueError(
            f"no notebooks and parameters in {places.REPOSITORY}: the command runs from a checkout "
            "of the repository (pip install --editable, as make run does), not from an installed "
            "copy of lib, which holds neither notebooks/ nor params/"
        )
    profile = places.profile(profile)
    if places.is_own(profile) and places.root() != Path(profile):
        raise RuntimeError(f"plan: {profile} is planned inside lib.run.places.of_profile")
    files = _profile_files(profile, notebooks)
    chosen = [_chosen(name, notebooks, files, profile) for name in names] or list(files)
    jobs = [
        _job(notebooks[stem], files[stem], profile, overrides, tuple(files)[:place])
        for place, stem in enumerate(files)
        if stem in chosen
    ]
    unused = [name for name in overrides if not any(name in job.values for job in jobs)]
    if unused:
        raise ValueError(
            f"-p {unused[0]}: no notebook of this run declares it; they are "
            f"{', '.join(job.stem for job in jobs)}"
        )
    first_of_output = {}
    for job in jobs:
        first = first_of_output.setdefault(job.output, job)
        if first is not job:
            raise ValueError(
                f"{first.stem} and {job.stem} have the same output "
                f"{job.values['output']!r}; expected a folder for each"
            )
        _check_output(job, notebooks)
    return jobs


def _check_output(job, notebooks):
    """Refuse an output in which the run would replace what is not the notebook's own."""
    asked = f"{job.stem}: output {job.values['output']!r}"
    if "://" in job.values["output"]:
        raise ValueError(f"{asked} is a URL; expected a folder, as one where a store is mounted")
    folder = job.output.resolve()
    for owner, results in _results_of_others(job, notebooks):
        if folder.is_relative_to(results):
            raise ValueError(
                f"{asked} belongs to {owner}, whose results the run would "
                f"replace; expected a folder of its own, as outputs/mine/{job.stem}"
            )
    if places.is_own(job.profile) and Path(job.profile).is_relative_to(folder):
        raise ValueError(
            f"{asked} holds the profile's own files; expected a folder of its own, as "
            f"outputs/{job.stem}"
        )
    if folder.is_file():
        raise ValueError(f"{asked} is a file; expected a folder")
    summary = summary_of(folder)
    if (folder / SUMMARY).exists() and (summary or {}).get("notebook") != job.stem:
        owner = f"results of {summary['notebook']}" if summary else f"a {SUMMARY} of no notebook"
        raise ValueError(
            f"{asked} holds {owner}, which the run would replace; expected a folder of its own, "
            f"as outputs/mine/{job.stem}"
        )
    results = (summary or {}).get("files")
    for name, value in job.given.items():
        file = _file_in(folder, value)
        if file and isinstance(results, list) and file in results:
            raise ValueError(
                f"{job.stem}: {name} {value!r} is a result of the notebook itself, which the run "
                f"would replace; give another output, as -p output outputs/mine/{job.stem}"
            )


def summary_of(folder: Path) -> dict | None:
    """What a report's summary.json in a folder holds; None if there is none, or another's file.

    `lib.notebook.report.read_summary` looks closer, and brings what draws figures.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError):
        match json.loads((folder / SUMMARY).read_text(encoding="utf-8")):
            case {"notebook": str(), "answer": str()} as summary:
                return summary
    return None


def _results_of_others(job, notebooks):
    """Yield (whose, folder) of all results that are not the job's, of every profile."""
    for path in sorted((places.REPOSITORY / "params").glob("*/*.yaml")):
        profile, stem = path.parent.name, path.stem
        for home in {places.root(), places.REPOSITORY}:
            if (profile, stem) != (job.profile, job.stem):
                yield f"{stem} in the profile {profile}", home / "outputs" / profile / stem
    if places.is_own(job.profile):
        for stem in notebooks:
            if stem != job.stem:
                yield f"{stem} in the profile {job.profile}", job.folder / stem


def _file_in(folder, value):
    """The name of the file in `folder` that a parameter's value stands for, None if of none."""
    if isinstance(value, str):
        with contextlib.suppress(OSError, ValueError):  # a text that can be no file's name
            path = (places.root() / value).resolve()
            return path.name if path.parent == folder else None
    return None


def _profile_files(profile, notebooks):
    """{stem: YAML file} of a profile, in the order of the notebooks."""
    folder = places.parameters_of(profile)
    others = OTHER_FILES if places.is_own(profile) else ()
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix in (".yaml", ".yml") and file.name not in others
    )
    if not files:
        raise ValueError(f"{places.shown(folder)}: expected NOTEBOOK.yaml files; found none")
    for file in files:
        if file.suffix == ".yml" or file.stem not in notebooks:
            beside = f"; {' and '.join(others)} may lie beside them" if others else ""
            raise ValueError(
                f"{places.shown(file)}: belongs to no notebook; expected one of "
                f"{', '.join(f'{stem}.yaml' for stem in notebooks)}{beside}"
            )
    return {file.stem: file for file in files}


def _chosen(name, notebooks, files, profile):
    """The stem that a name on the command line means."""
    stem = Path(name).stem if name.endswith(".ipynb") else name
    matches = [known for known in notebooks if stem in (known, known.split("_")[0])]
    if len(matches) != 1:
        raise ValueError(
            f"{name}: expected one notebook of {', '.join(notebooks)}; "
            f"found {', '.join(matches) or 'none'}"
        )
    if matches[0] not in files:
        file = places.parameters_of(profile) / f"{matches[0]}.yaml"
        raise ValueError(f"{matches[0]}: the profile {profile} has no {places.shown(file)}")
    return matches[0]


def _job(path, file, profile, overrides, after):
    notebook, source = read_notebook(path), places.shown(path)
    defaults = declared(notebook, source=source)
    if type(defaults.get("output")) is not str:
        raise ValueError(f"{source}: expected a parameter 'output', the folder of its results")
    home = "outputs" if places.is_own(profile) else f"outputs/{profile}"
    given = {"output": f"{home}/{path.stem}", **read_parameters(file)}
    values = check_parameters(given, defaults, source=places.shown(file))
    own = {name: value for name, value in overrides.items() if name in defaults}
    values |= check_parameters(own, {name: defaults[name] for name in own}, source="-p")
    given = {name: value for name, value in values.items() if name in given or name in own}
    return Job(path.stem, profile, notebook, given, values, after)


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook in the format 4.5, in which every cell has an id."""
    try:
        notebook = _nbformat().read(path, as_version=4)
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{places.shown(path)}: not a notebook: {error}") from None
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    for place, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{place}")
    return notebook


@functools.cache
def _nbformat():
    """nbformat, imported without a grammar of web addresses.

    jsonschema takes a second to load it where rfc3987_syntax is there, and notebooks hold no such
    addresses; None is Python's mark of a missing module.
    """
    grammar = "rfc3987_syntax"
    was_there = sys.modules.setdefault(grammar, None)
    try:
        import nbformat
    finally:
        if was_there is None:
            del sys.modules[grammar]
    return nbformat

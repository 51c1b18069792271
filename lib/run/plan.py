"""A run: which notebooks, in which order, with which parameters."""

from dataclasses import dataclass
from pathlib import Path

import nbformat

from lib.run import places
from lib.run.parameters import check_parameters, declared, read_parameters


@dataclass(frozen=True)
class Job:
    """One notebook with the parameters of one profile."""

    stem: str
    profile: str
    notebook: dict  # NotebookNode, as read
    given: dict  # the parameters that papermill sets
    values: dict  # these and the defaults of the others
    after: tuple  # stems of the notebooks before it in the profile

    @property
    def folder(self):
        return places.root() / "outputs" / self.profile

    @property
    def executed(self):
        return self.folder / f"{self.stem}.ipynb"

    @property
    def output(self):
        return places.root() / self.values["output"]


def plan(names=(), profile="quick", overrides=None):
    """The notebooks of a run in order, their parameters checked.

    Args:
      names: notebooks to run, as 02, 02_bnsl_fitting or a path; all of the
        profile if empty. A profile leaves out the notebooks it has no YAML file for.
      profile: a folder below params/.
      overrides: {name: value}, for every notebook of the run that declares the name.

    Returns: list of Job.

    Raises ValueError or TypeError for anything that a notebook does not declare.
    """
    overrides = dict(overrides or {})
    notebooks = {
        path.stem: path for path in sorted((places.REPOSITORY / "notebooks").glob("*.ipynb"))
    }
    files = _profile_files(profile, notebooks)
    chosen = [_chosen(name, notebooks, files, profile) for name in names] or list(files)
    jobs = [
        _job(notebooks[stem], files[stem], overrides, tuple(files)[:place])
        for place, stem in enumerate(files)
        if stem in chosen
    ]
    unused = [name for name in overrides if not any(name in job.values for job in jobs)]
    if unused:
        raise ValueError(
            f"-p {unused[0]}: no notebook of this run declares it; they are "
            f"{', '.join(job.stem for job in jobs)}"
        )
    by_output = {}
    for job in jobs:
        other = by_output.setdefault(job.output, job)
        if other is not job:
            raise ValueError(
                f"{other.stem} and {job.stem} have the same output "
                f"{job.values['output']!r}; expected a folder for each"
            )
    return jobs


def _profile_files(profile, notebooks):
    """{stem: YAML file} of a profile, in the order of the notebooks."""
    folder = places.REPOSITORY / "params" / profile
    profiles = sorted(path.name for path in folder.parent.glob("*/"))
    if profile not in profiles:
        raise ValueError(f"--profile {profile}: not found; params/ has {', '.join(profiles)}")
    files = sorted(file for file in folder.iterdir() if file.suffix in (".yaml", ".yml"))
    if not files:
        raise ValueError(f"params/{profile}: expected NOTEBOOK.yaml files; found none")
    for file in files:
        if file.suffix == ".yml" or file.stem not in notebooks:
            raise ValueError(
                f"{places.shown(file)}: belongs to no notebook; expected one of "
                f"{', '.join(f'{stem}.yaml' for stem in notebooks)}"
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
        raise ValueError(
            f"{matches[0]}: the profile {profile} has no params/{profile}/{matches[0]}.yaml"
        )
    return matches[0]


def _job(path, file, overrides, after):
    notebook, source = read_notebook(path), places.shown(path)
    defaults = declared(notebook, source=source)
    if type(defaults.get("output")) is not str:
        raise ValueError(f"{source}: expected a parameter 'output', the folder of its results")
    profile = file.parent.name
    given = {"output": f"outputs/{profile}/{path.stem}", **read_parameters(file)}
    values = check_parameters(given, defaults, source=places.shown(file))
    mine = {name: value for name, value in overrides.items() if name in defaults}
    values |= check_parameters(mine, {name: defaults[name] for name in mine}, source="-p")
    given = {name: value for name, value in values.items() if name in given or name in mine}
    return Job(path.stem, profile, notebook, given, values, after)


def read_notebook(path):
    """A notebook in the format 4.5, in which every cell has an id."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{places.shown(path)}: not a notebook: {error}") from None
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    for place, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{place}")
    return notebook

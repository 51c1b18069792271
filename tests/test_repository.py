"""The environment's three descriptions name the same packages; nothing machine-bound is kept."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = PROJECT["optional-dependencies"]
NEEDED = PROJECT["dependencies"] + OPTIONAL["test"] + OPTIONAL["bench"]


def normalised(requirement):
    """Name and marker of a requirement, as pip compares them."""
    name, _, marker = requirement.partition(";")
    return re.sub(r"[-_.]+", "-", name.strip().lower()), marker.strip().replace('"', "'")


def without_extras(requirement):
    return normalised(requirement)[0].partition("[")[0]


def locked(name):
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, flags=re.M)), text


def test_conda_environment_names_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert sorted(map(normalised, conda)) == sorted(map(normalised, NEEDED))


def test_lock_holds_every_package_and_only_names_versions_and_hashes():
    versions, text = locked("requirements.lock")
    missing = {without_extras(requirement) for requirement in NEEDED} - set(versions)
    assert not missing
    for line in text.splitlines():
        assert re.fullmatch(
            r"[a-z0-9._-]+==\S+( ; .*)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        ), line


def test_lock_has_nothing_that_pyproject_no_longer_asks_for():
    """Every locked package is asked for, directly or by another locked one."""
    from importlib.metadata import PackageNotFoundError, requires

    versions, _ = locked("requirements.lock")
    asked = {without_extras(requirement) for requirement in NEEDED}
    for package in versions:
        try:
            asked |= {
                normalised(re.split(r"[ (<>=!~;\[]", one)[0])[0] for one in requires(package) or []
            }
        except PackageNotFoundError:  # of another platform
            asked.add(package)
    assert set(versions) <= asked


def test_set_up_lock_brings_uv():
    versions, text = locked("requirements-setup.lock")
    assert {"uv", "setuptools"} == set(versions) and "://" not in text


def test_site_lock_holds_what_the_site_needs_and_not_what_lib_does():
    versions, text = locked("requirements-site.lock")
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["site"]
    assert set(group) <= set(versions) and "://" not in text
    assert not {"tensorflow-cpu", "keras", "scipy"} & set(versions)


def tracked():
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in run.stdout.split("\0") if name]


def test_no_tracked_text_holds_a_path_of_a_machine():
    home = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/[A-Za-z0-9_.-]+")
    for path in tracked():
        if path.suffix in {".py", ".ipynb", ".md", ".yaml", ".yml", ".toml", ".json", ".csv"}:
            found = home.search(path.read_text(errors="ignore")) if path.is_file() else None
            assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


def test_outputs_hold_no_data_only_results():
    for path in tracked():
        if (ROOT / "outputs") in path.parents and path.is_file():
            assert path.suffix != ".parquet", path
            assert path.stat().st_size < 3_000_000, path


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_map_names_every_folder_of_lib():
    text = (ROOT / "docs" / "code.md").read_text()
    lines = re.search(r"^lib/ .*?(?=^benchmarks/)", text, flags=re.M | re.S).group()
    named = re.findall(r"^  (\w+)(?=/? )", lines, flags=re.M)
    paths = (ROOT / "lib").iterdir()
    assert sorted(named) == sorted(path.stem for path in paths if path.stem[:2] != "__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_points_at_is_there(page):
    """Files, and headings on other pages; `api/` is made with the site, which checks it."""
    text = page.read_text()
    files = re.findall(r"`((?:lib|tests|params|notebooks|benchmarks)/[a-z0-9_/.]+)`", text)
    missing = [name for name in files if not (ROOT / name).exists()]
    for name, _, heading in re.findall(r"\]\((?!api/)([^)#:\s]*)(#([^)]+))?\)", text):
        target = page.parent / name if name else page
        if not target.exists():
            missing.append(name)
        elif heading and target.suffix == ".md" and heading not in anchors(target.read_text()):
            missing.append(f"{name}#{heading}")
    assert missing == []


def anchors(text):
    """Names of a page's headings as links write them."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_first():
    reached, waiting = set(), [PAGES[0]]
    while waiting:
        page = waiting.pop()
        if page.is_file() and page not in reached:
            reached.add(page)
            names = re.findall(r"\]\(([^)#:\s]+\.md)(?:#[^)]+)?\)", page.read_text())
            waiting += [(page.parent / name).resolve() for name in names]
    assert set(PAGES) <= reached


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("", "no Python 3.11 or 3.12 with venv and ensurepip was found"),
        ("false", "PYTHON=false is not a Python 3.11 or 3.12 with venv and ensurepip"),
    ],
)
def test_make_says_what_is_missing(tmp_path, python, message):
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-setup.lock"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", "run", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode and message in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_the_lock_serves_both_pythons():
    """Where a version differs between the two, each has one."""
    text = (ROOT / "requirements.lock").read_text()
    old = re.findall(r"^(\S+)==\S+ ; python_full_version < '3\.12'", text, flags=re.M)
    new = re.findall(r"^(\S+)==\S+ ; python_full_version >= '3\.12'", text, flags=re.M)
    assert set(new) <= set(old) and {"numpy", "scipy"} <= set(new)
    assert PROJECT["requires-python"] == ">=3.11,<3.13"


def test_a_test_file_stands_where_what_it_tests_does():
    """tests/FOLDER/test_STEM.py is about lib/FOLDER/STEM.py; of a notebook, about NOTEBOOK."""
    stems = {
        path.relative_to(ROOT / "lib").with_suffix("") for path in (ROOT / "lib").rglob("*.py")
    }
    stems |= {Path("notebooks", path.stem) for path in (ROOT / "notebooks").glob("*.ipynb")}
    for folder, ending in (("benchmarks", "py"), ("docs", "py"), ("docs", "md")):
        stems |= {Path(folder, path.stem) for path in (ROOT / folder).glob(f"*.{ending}")}
    # Of no single module: the repository as a whole, lib's command, what is scikit-learn's in it,
    # every notebook, every engine.
    stems |= {
        Path(name)
        for name in ("repository", "layers", "main", "estimators", "serving/engines/engines")
    }
    stems |= {Path("notebooks", name) for name in ("form", "own_tables")}
    homeless = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if path.relative_to(ROOT / "tests").with_name(path.stem.removeprefix("test_")) not in stems
    ]
    assert homeless == []


# What README.md and docs/findings.md say in their own words: notebook, claim, how it is written.
# {v} is the claim's value, {p} in per cent, {l} and {h} the ends of its interval in per cent.
SAID = [
    ("full/01_metric_validation", "R² of R/R* with revenue lift", "| R/R\\* | {v:.2f} |"),
    ("full/01_metric_validation", "R² of NDCG with revenue lift", "| NDCG | {v:.2f} |"),
    ("full/01_metric_validation", "R² of Recall with revenue lift", "| Recall | {v:.2f} |"),
    ("full/01_metric_validation", "R² of OPA with revenue lift", "| OPA | {v:.2f} |"),
    (
        "full/01_metric_validation",
        "the model that R/R* puts first earns more than the base (lift)",
        "Taking the model that R/R\\* puts first earns {p:.2f} % more",
    ),
    (
        "quick/04_roi_design",
        "the choice earns more than the base",
        "earns {p:.2f} % more ({l:.2f} to {h:.2f}) for 0.88 times the cost",
    ),
    (
        "quick/05_allocation",
        "allocation over both stages at no more cost, revenue lift",
        "worth {p:.2f} % ({l:.2f} to {h:.2f}) if lifts add up",
    ),
    (
        "full/05b_two_stages",
        "testing every arm earns more than adding lifts (Eq 9), today's cost",
        "{p:.1f} % ({l:.1f} to {h:.1f})",
    ),
    (
        "quick/07_online_pipeline",
        "exports every 1 day lose revenue against every 5 min",
        "{p:.1f} % of revenue ({l:.1f} to {h:.1f}) after a day",
    ),
    (
        "quick/07_online_pipeline",
        "exports every 1 day lose R/R* against every 5 min",
        "| day | {v:.3f} (",
    ),
    (
        "full/06_dlrm_scaling",
        "scaling tables is out of steam: doubled, the loss falls by less than 0.02%",
        "| {p:.1f} % ({l:.1f} to {h:.1f}) |",
    ),
    (
        "full/06_dlrm_scaling",
        "scaling all MLPs is out of steam: doubled, the loss falls by less than 0.02%",
        "| all MLPs | no gain seen ({l:.1f} to {h:.1f}) |",
    ),
]


@pytest.mark.parametrize(("notebook", "claim", "words"), SAID, ids=lambda text: text[:40])
def test_figures_of_the_pages_are_those_of_the_outputs(notebook, claim, words):
    summary = json.loads((ROOT / "outputs" / notebook / "summary.json").read_text())
    found = next(one for one in summary["claims"] if one["name"] == claim)
    low, high = found["interval"]
    words = words.format(v=found["value"], p=100 * found["value"], l=100 * low, h=100 * high)
    pages = "\n".join(
        (ROOT / name).read_text().replace("\n", " ") for name in ("README.md", "docs/findings.md")
    )
    assert words in re.sub(r" +", " ", pages)

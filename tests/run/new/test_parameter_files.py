"""Parameter files of a new profile say what the notebooks say, and take what they take."""

import re

import pytest

from lib.run import places
from lib.run.decide.question import REQUIRED, TABLES
from lib.run.new.parameter_files import GIVEN, OF_LOGS, QUESTION, REST, notebook_file, question_file
from lib.run.new.unsaid import explained
from lib.run.parameters import declared, read_parameters
from lib.run.plan import read_notebook

STEMS = OF_LOGS | GIVEN


def read(text, folder):
    path = folder / "values.yaml"
    path.write_text(text)
    return read_parameters(path)


@pytest.mark.parametrize("stem", STEMS)
def test_what_is_commented_out_is_what_the_notebook_takes_otherwise(stem, tmp_path):
    """So that neither a value nor its explanation can go stale."""
    notebook = read_notebook(places.REPOSITORY / "notebooks" / f"{stem}.ipynb")
    defaults = declared(notebook, source=stem)
    first, rest = notebook_file(stem, STEMS[stem]).split(REST)
    assert read(first, tmp_path) == STEMS[stem]
    others = read(re.sub(r"^# (?=\w+: )", "", rest, flags=re.M), tmp_path)
    assert others == {
        name: value
        for name, value in defaults.items()
        if name not in STEMS[stem] and name != "output"
    }
    lines = dict(re.findall(r"^(?:# )?(\w+): .*?  # (.*)$", first + rest, flags=re.M))
    texts = {name: TABLES.get(name, text) for name, (_, text) in explained(notebook, stem).items()}
    assert all(texts[name].endswith(text) for name, text in lines.items())
    assert lines.keys() == texts.keys() - {"output"}


def test_a_file_begins_with_the_notebook_s_question():
    text = notebook_file("04_roi_design", GIVEN["04_roi_design"])
    assert text.startswith("# Which model size pays best under an ROI bound, and how sure is that?")


def test_headings_come_along():
    text = notebook_file("04_roi_design", {"trainings": ""})
    assert text.index("# ---- What serving must keep to") < text.index("# candidates: 1500")


def test_what_a_notebook_does_not_take_is_refused():
    with pytest.raises(ValueError, match="unknown parameter 'pirce_per_hour'"):
        notebook_file("04_roi_design", {"pirce_per_hour": 1.0})


def test_a_question_is_its_ten_required_lines(tmp_path):
    assert read(question_file(), tmp_path) == QUESTION
    assert QUESTION.keys() == REQUIRED.keys()
    assert all(text in question_file() for text in REQUIRED.values())

"""Docstrings keep their words, their code and their layout; what is private stays out."""

import pytest

from docs.api_pages import escaped, markdown, write_pages
from tests import ROOT

SOURCE = '''"""A module, `v` of R/R*."""

import os


@dataclass
class Point(Base):
    """A point."""

    x: int
    _hidden: int = 0

    def norm(self, order: float = 2.0) -> float:
        """Its length."""

    def undescribed(self): ...


def top(m, *, scores=None) -> list[int]:
    """The best.

    Args:
      m: how many,
        at least 1.
      scores: [n] floats.

    Returns: [m].

    >>> top(1, scores=[1, 2])
    [1]
    """


def _private(): ...
'''


def test_a_page_by_hand(tmp_path):
    package = tmp_path / "lib"
    (package / "room").mkdir(parents=True)
    for name in ("__init__.py", "room/__init__.py"):
        (package / name).write_text('"""A face."""')
    (package / "room/part.py").write_text(SOURCE)
    (package / "room/_part.py").write_text(SOURCE)
    write_pages(package, tmp_path / "api")
    assert "\nroom\n" in (tmp_path / "api/index.md").read_text()
    text = (tmp_path / "api/room.md").read_text()
    assert text.startswith("# lib.room\n\nA face.\n\n## lib.room.part\n\nA module, `v` of R/R\\*.")
    assert "```python\nclass Point(Base)\n    x: int\n```" in text
    assert "#### norm\n\n```python\nnorm(self, order: float=2.0) -> float\n```" in text
    assert "top(m, *, scores=None) -> list[int]" in text
    assert "- `m`: how many,\n  at least 1.\n- `scores`: \\[n] floats." in text
    assert "**Returns:** \\[m]." in text and "```pycon\n>>> top(1" in text
    assert not {"_private", "_part", "_hidden", "undescribed"} & set(text.split())


@pytest.mark.parametrize(
    "text", ["reader    read, check\ncolumns   what they hold", "  y = a + b x^{-c0}"]
)
def test_what_is_laid_out_stays(text):
    assert markdown(text) == f"```text\n{text}\n```"


def test_tables_and_lists_are_markdown_s():
    table = "| a | b |\n| - | - |\n| `1` | 2 |"
    assert markdown(table) == table
    assert markdown("- one*\n- two") == "- one\\*\n- two"


def test_what_is_returned_and_raised_may_go_over_several_lines():
    text = "Returns: [n], of\n  each model.\nRaises: ValueError for n < 1."
    assert markdown(text) == (
        "**Returns:** \\[n], of each model.\n\n**Raises:** ValueError for n \\< 1."
    )


def test_signs_of_markdown_mean_themselves():
    assert escaped("*paired* R/R* and *args, R/R*") == r"*paired* R/R\* and \*args, R/R\*"
    assert escaped(r"2*3 <x> [n](m) \sum `a*b`") == r"2\*3 \<x> \[n](m) \\sum `a*b`"


def test_every_room_of_lib_has_a_page(tmp_path):
    write_pages(ROOT / "lib", tmp_path)
    rooms = {path.stem for path in (ROOT / "lib").iterdir() if path.stem[0] != "_"}
    assert {path.stem for path in tmp_path.iterdir()} == rooms | {"index"}
    for path in tmp_path.iterdir():
        assert path.read_text().count("```") % 2 == 0

"""Names of the reader's break no Markdown."""

import pytest

from lib.notebook import markdown

ODD = [
    "a|b",
    "a\nb",
    "$x^2$ and $",
    "<b>x",
    "</td>",
    "<!-- ",
    "\u202eabc",
    "a\x00b",
    "x" * 5000,
    "\\|",
    "👍",
]


@pytest.mark.parametrize("name", ODD)
def test_a_cell_stays_a_cell(name):
    cell = markdown.cell(name)
    assert cell.isprintable()
    assert "|" not in cell.replace(r"\|", "")
    assert "$" not in cell.replace(r"\$", "")
    assert "<" not in cell


def test_what_is_markdown_stays():
    text = "R/R\\* is **up** by 3 < 5 `words`"
    assert markdown.as_text(text) == text == markdown.cell(text)
    assert markdown.as_text("costs \\$ 5") == "costs \\$ 5"

"""Docstrings keep their words, their code and their layout on the site."""

import pytest

from docs.docstrings import as_restructured_text, escaped


def converted(text):
    lines = text.splitlines()
    as_restructured_text(None, "function", "f", None, None, lines)
    return "\n".join(lines).strip()


def test_prose_code_and_doctest():
    text = "Order `a_` by R/R*.\n\n>>> f(`x`)\n1"
    assert converted(text) == "Order ``a_`` by R/R\\*.\n\n>>> f(`x`)\n1"


def test_sections_are_left_to_napoleon():
    text = "Args:\n  x: [n], not `None`.\n  *rest: others."
    assert converted(text) == "Args:\n  x: [n], not ``None``.\n  \\*rest: others."
    assert converted("Returns: [n]. Raises ValueError.") == "**Returns:** [n]. Raises ValueError."


@pytest.mark.parametrize(
    "text",
    [
        "reader    read, check\ncolumns   what they hold",
        "    y = a + b x^{-c0}",
        "| a | b |\n| - | - |\n| 1 | 2 |",
    ],
)
def test_what_is_laid_out_stays(text):
    assert converted(text).splitlines()[2:] == [f"    {line}" for line in text.splitlines()]


def test_signs_of_restructured_text_mean_themselves():
    assert escaped(r"x_ |s| 2*3 \sum") == r"x\_ \|s\| 2\*3 \\sum"

"""Texts with names of the reader's, as Markdown shows them: as they are written."""

import re


def as_text(text: str) -> str:
    """A text in which nothing is TeX, and nothing HTML; other Markdown stays what it is.

    >>> print(as_text("a$b$ <b> is < 3, R/R* **up**"))
    a\\$b\\$ &lt;b> is < 3, R/R* **up**
    """
    text = re.sub(r"(?<!\\)\$", r"\\$", text)
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", text)


def cell(text: str) -> str:
    """A text as a cell of a Markdown table: on one line, ending no cell.

    >>> print(cell("a|b\\nc"))
    a\\|b c
    """
    line = "".join(
        character if character.isprintable() else " " for character in " ".join(text.split())
    )
    return as_text(line.replace("|", r"\|"))

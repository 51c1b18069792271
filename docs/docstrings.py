"""A docstring of lib, plain text with Markdown's marks, as reStructuredText for Sphinx.

Prose keeps its words and `code`; what is laid out by hand (tables, formulas, lists of modules)
stays as it stands. Headings such as "Args:" are left to Napoleon.
"""

import re

SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Families):$")
ONE_LINE = re.compile(r"^(Returns|Raises|Yields|Source): ")
COLUMNS = re.compile(r"\S {2,}\S")


def as_restructured_text(app, what, name, obj, options, lines):
    """Sphinx' event `autodoc-process-docstring`: change `lines` in place."""
    lines[:] = [line for block in _blocks(lines) for line in (*_converted(block), "")]


def _blocks(lines):
    """Runs of lines without an empty one; a section's lines stay with its heading."""
    block = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def _converted(block):
    if block[0].lstrip().startswith(">>>"):
        return block
    if SECTION.match(block[0]):
        return [block[0], *map(escaped, block[1:])]
    if _laid_out(block):
        return ["::", "", *(f"    {line}" for line in block)]
    return [ONE_LINE.sub(r"**\1:** ", escaped(line)) for line in block]


def _laid_out(block):
    """Whether line breaks and spaces of a block carry meaning."""
    return any(
        line.startswith((" ", "|")) or COLUMNS.search(line.strip()) for line in block
    ) and not re.match(r"[-*] |\d\. ", block[0])


def escaped(line):
    """A line of text whose `code` is literal and whose other signs mean themselves.

    >>> print(escaped("`top(m)` of R/R* for x_, |s|"))
    ``top(m)`` of R/R\\* for x\\_, \\|s\\|
    """
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(
        f"`{part}`" if index % 2 else re.sub(r"([\\*|`]|(?<=\w)_(?!\w))", r"\\\1", part)
        for index, part in enumerate(parts)
    )

"""The API as Markdown, a page for each folder of lib: read from the source, nothing imported.

A docstring of lib is plain text with Markdown's marks. Its prose keeps its words and `code`,
sections such as "Args:" become lists, and what is laid out by hand (formulas, lists of modules)
stays as it stands.
"""

import ast
import re
import textwrap
from pathlib import Path

SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields):$")
ONE_LINE = re.compile(r"^(Returns|Raises|Yields|Source): ")
ENTRY = re.compile(r"(\*{0,2}\w[\w, *.]*?): +(.*)")
COLUMNS = re.compile(r"\S {2,}\S")


def write_pages(package, folder):
    """Write a page for each folder and file right below `package`, and their index."""
    package, folder = Path(package), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for path in sorted(package.iterdir()):
        if path.name[0] not in "._" and (path.suffix == ".py" or (path / "__init__.py").is_file()):
            modules = sorted(path.rglob("*.py")) if path.is_dir() else [path]
            (folder / f"{path.stem}.md").write_text(page(modules, package))
            names.append(path.stem)
    contents = "\n".join(["```{toctree}", ":titlesonly:", "", *names, "```"])
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    text = f"# API\n\n{markdown(docstring)}\n\n{contents}\n"
    (folder / "index.md").write_text(text)


def page(paths, package):
    """All modules of a folder, its face first; parts whose name begins with _ are left out."""
    parts = []
    for path in sorted(paths, key=lambda path: (path.parent.parts, path.name != "__init__.py")):
        names = [*path.parent.relative_to(package.parent).parts, path.stem]
        name = ".".join(names).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            parts.append(module(name, ast.parse(path.read_text()), "##" if parts else "#"))
    return "\n\n".join(parts) + "\n"


def module(name, tree, heading):
    blocks = [f"{heading} {name}", markdown(ast.get_docstring(tree))]
    blocks += [definition(node, f"{heading}#") for node in public(tree)]
    return "\n\n".join(filter(None, blocks))


def definition(node, heading):
    """A function or class with its signature and docstring; a class with its public methods."""
    blocks = [f"{heading} {node.name}", f"```python\n{signature(node)}\n```"]
    blocks.append(markdown(ast.get_docstring(node)))
    if isinstance(node, ast.ClassDef):
        blocks += [
            definition(method, f"{heading}#") for method in public(node) if described(method)
        ]
    return "\n\n".join(filter(None, blocks))


def public(node):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [child for child in node.body if isinstance(child, kinds) and child.name[0] != "_"]


def described(node):
    return ast.get_docstring(node) is not None


def signature(node):
    """As in the source, on one line or an argument a line.

    >>> print(signature(ast.parse("def f(x: int, *, y=1) -> str: pass").body[0]))
    f(x: int, *, y=1) -> str
    """
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        fields = [
            f"    {ast.unparse(child)}"
            for child in node.body
            if isinstance(child, ast.AnnAssign) and not ast.unparse(child.target).startswith("_")
        ]
        return "\n".join([f"class {node.name}({bases})".replace("()", ""), *fields])
    arguments = ast.unparse(node.args)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{node.name}({arguments}){returns}"
    return line if len(line) < 100 else textwrap.fill(line, 96, subsequent_indent="    ")


def markdown(docstring):
    """A docstring as Markdown; "" for none."""
    blocks = [block for block in re.split(r"\n\s*\n", docstring or "") if block.strip()]
    return "\n\n".join(_converted(block.rstrip().split("\n")) for block in blocks)


def _converted(lines):
    if lines[0].lstrip().startswith(">>>"):
        return "\n".join(["```pycon", *lines, "```"])
    if SECTION.match(lines[0]):
        return "\n".join([f"**{lines[0]}**", "", *_entries(lines[1:])])
    if lines[0].startswith(("|", "- ", "* ")) or re.match(r"\d\. ", lines[0]):
        return "\n".join(map(escaped, lines))
    if ONE_LINE.match(lines[0]):
        joined = re.sub(r"\n +", " ", "\n".join(lines)).split("\n")
        return "\n\n".join(ONE_LINE.sub(r"**\1:** ", escaped(line)) for line in joined)
    if any(line.startswith(" ") or COLUMNS.search(line) for line in lines):
        return "\n".join(["```text", *lines, "```"])
    return "\n".join(map(escaped, lines))


def _entries(lines):
    """The lines of a section as a list, one entry for each name."""
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    entries = []
    for line in lines:
        found = ENTRY.match(line[indent:])
        if found and line[indent] != " ":
            entries.append(f"- `{found[1]}`: {escaped(found[2])}")
        else:
            entries.append(f"{'  ' if entries else ''}{escaped(line.strip())}")
    return entries


def escaped(line):
    """Text whose `code` and *emphasis* stay and whose other signs mean themselves.

    >>> print(escaped("`top(m)` of R/R*, [n] <= 3"))
    `top(m)` of R/R\\*, \\[n] \\<= 3
    """
    parts = re.split(r"(`[^`]+`|(?<![\w*])\*\w[^*`/]*\w\*(?![\w*]))", line)
    return "".join(
        part if index % 2 else re.sub(r"([\\*\[<`])", r"\\\1", part)
        for index, part in enumerate(parts)
    )

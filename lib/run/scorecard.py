"""The scorecard: what the notebooks of a profile claim, in one table."""

from pathlib import Path

from lib.infra.files import replacing
from lib.notebook import markdown
from lib.notebook.report import read_summary
from lib.run import places


def write_scorecard(profile: str) -> None:
    """Gather the claims of all notebooks of a profile in scorecard.md, among its results.

    A summary.json that is none is named and left out. Raises: OSError where it cannot be written.
    """
    folder = places.results_of(profile)
    lines = [
        "# Scorecard",
        "",
        f"What the notebooks claim in the profile `{Path(profile).name}`.",
        "",
        "| notebook | claim | value | interval | it covers | published | source | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(folder.glob("*/summary.json")):
        summary = read_summary(path)
        if summary is None:
            print(f"scorecard: {places.shown(path)} is not a notebook's summary, left out")
            continue
        for claim in summary["claims"]:
            cells = [
                summary["notebook"],
                claim["name"],
                claim["value"],
                claim["interval"],
                claim.get("covers"),  # newer than some summaries
                claim["published"],
                claim["source"],
                claim["verdict"],
            ]
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    with replacing(folder / "scorecard.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _cell(value):
    """A value in a Markdown table.

    >>> [_cell(value) for value in (None, 0.123456, [1, 2.5], "a|b", True)]
    ['', '0.1235', '1 to 2.5', 'a\\\\|b', 'yes']
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case float():
            return f"{value:.4g}"
        case list():
            return " to ".join(map(_cell, value))
    return markdown.cell(str(value))

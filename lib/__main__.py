"""The project's command: python -m lib run [NOTEBOOK ...] --profile P [-p NAME VALUE]."""

import argparse
import sys

from lib import run
from lib.run.execute import NotebookError, run_all
from lib.run.parameters import read_overrides
from lib.run.plan import plan


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 a notebook failed, 2 a wrong argument, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(with_negative_values(arguments))
    try:
        overrides = read_overrides(options.parameters)
        jobs = plan(options.notebooks, options.profile, overrides)
    except (ValueError, TypeError) as error:
        return _fail(error, 2)
    try:
        run_all(jobs, force=options.force)
    except NotebookError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on with the notebook that ran", 130)
    return 0


def with_negative_values(arguments):
    """The arguments, so that the VALUE of -p may begin with "-", as -1e-3 does.

    argparse takes such a text for an option. It takes none that begins with a space, which
    YAML does not see.

    >>> with_negative_values(["run", "-p", "bound", "-1e-3", "--force"])
    ['run', '-p', 'bound', ' -1e-3', '--force']
    """
    options = ("-p", "-h", "--help", "--profile", "--force")
    return [
        f" {text}" if text.startswith("-") and text not in options and before == "-p" else text
        for text, before in zip(arguments, ["", "", *arguments])
    ]


def parser():
    commands = argparse.ArgumentParser(
        prog="python -m lib",
        description=run.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = commands.add_subparsers(required=True).add_parser("run", help="run notebooks")
    command.add_argument(
        "notebooks",
        nargs="*",
        metavar="NOTEBOOK",
        help="as 02, 02_bnsl_fitting or a path; all of the profile if left out",
    )
    command.add_argument("--profile", default="quick", help="a folder of params/ (quick)")
    command.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        dest="parameters",
        metavar=("NAME", "VALUE"),
        help="set a parameter wherever it is declared",
    )
    command.add_argument("--force", action="store_true", help="run also what is up to date")
    return commands


def _fail(message, status):
    print(f"run: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The project's command: python -m lib run [NOTEBOOK ...] --profile P [-p NAME VALUE]."""

import argparse
import sys

from lib import run
from lib.run.execute import NotebookError, run_all
from lib.run.parameters import read_overrides
from lib.run.plan import plan


def main(arguments=None):
    """Exit status: 0 done, 1 a notebook failed, 2 a wrong argument, 130 interrupted."""
    options = _parser().parse_args(arguments)
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


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m lib",
        description=run.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = parser.add_subparsers(required=True).add_parser("run", help="run notebooks")
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
    return parser


def _fail(message, status):
    print(f"run: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The project's command.

python -m lib new FOLDER [--logs]
python -m lib check [PROFILE] [NOTEBOOK ...] --profile P [-p NAME VALUE]
python -m lib run [NOTEBOOK ...] --profile P [-p NAME VALUE]
python -m lib receipt --profile P [--accept]
python -m lib pipeline [--folder F] [--minutes M] [-p NAME VALUE]
python -m lib decide [QUESTION.yaml] [--folder F] [-p NAME VALUE]
"""

import argparse
import sys

from lib import run
from lib.run import places
from lib.run.check.command import described
from lib.run.check.findings import examine_run
from lib.run.parameters import read_overrides
from lib.run.plan import plan

PROFILE = "a folder of params/, or the path of one of your own (quick)"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 a notebook failed or a table is not the committed one, 2 a wrong
    argument, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(with_negative_values(arguments))
    with places.of_profile(getattr(options, "profile", None) or ""):
        return options.carry_out(options)


def _run(options):
    try:
        overrides = read_overrides(options.parameters)
        jobs = plan(options.notebooks, options.profile, overrides)
        checked = examine_run(jobs, force=options.force)
    except (ValueError, TypeError) as error:
        return _fail(error, 2)
    for job, inputs in checked:
        for sentence in inputs.suspicions():
            print(f"run: {job.stem}: suspicious: {sentence}", file=sys.stderr)
    from lib.run.execute import NotebookError, run_all

    try:
        run_all(jobs, force=options.force)
    except NotebookError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on with the notebook that ran", 130)
    _print_comparison(plan([job.stem for job in jobs], options.profile))
    return 0


def _check(options):
    """What a run would use; the first of the names may be a profile."""
    names, profile = options.notebooks, options.profile
    if names and places.is_profile(names[0]):
        names, profile = names[1:], names[0]
    try:
        with places.of_profile(profile):
            lines = described(names, profile, read_overrides(options.parameters))
    except (ValueError, TypeError) as error:
        return _fail(error, 2, "check")
    print(*lines, sep="\n")
    return 0


def _new(options):
    from lib.run.new.layout import lay_out, next_commands

    try:
        lay_out(options.folder, logs=options.logs)
    except (ValueError, TypeError) as error:
        return _fail(error, 2, "new")
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written", 130, "new")
    print(next_commands(options.folder))
    return 0


def _pipeline(options):
    import pydantic

    from lib.infra.settings import configure
    from lib.logs.errors import LogError
    from lib.online.pipeline.parameters import PipelineParameters
    from lib.online.pipeline.run import run_pipeline

    configure()
    try:
        values = read_overrides(options.parameters)
        run_pipeline(PipelineParameters(folder=options.folder, **values), options.minutes)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "parameters"
        return _fail(f"{name}: {first['msg']}; got {first['input']!r}", 2, "pipeline")
    except (LogError, ValueError, OSError) as error:
        return _fail(error, 2, "pipeline")
    return 0


def _decide(options):
    from lib.run.decide.command import decide
    from lib.run.execute import NotebookError

    try:
        page = decide(options.question, read_overrides(options.parameters), options.folder)
    except (ValueError, TypeError, OSError) as error:
        return _fail(error, 2, "decide")
    except NotebookError as error:
        return _fail(error, 1, "decide")
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on where it stopped", 130, "decide")
    print(f"decide: wrote {page}")
    return 0


def _receipt(options):
    from lib.run.receipt import write_receipt

    try:
        jobs = plan(profile=options.profile)
        if options.accept:
            print(f"receipt: wrote {places.shown(write_receipt(jobs))}")
            return 0
    except (ValueError, TypeError, OSError) as error:
        return _fail(error, 2, "receipt")
    return 0 if _print_comparison(jobs) else 1


def _print_comparison(jobs):
    from lib.run.receipt import compare

    equal, lines = compare(jobs)
    for line in lines:
        print(f"receipt: {line}")
    return equal


def with_negative_values(arguments):
    """The arguments, so that the VALUE of -p may begin with "-", as -1e-3 does.

    argparse takes such a text for an option. It takes none that begins with a space, which
    YAML does not see.

    >>> with_negative_values(["run", "-p", "bound", "-1e-3", "--force"])
    ['run', '-p', 'bound', ' -1e-3', '--force']
    """
    options = ("-p", "-h", "--help", "--profile", "--force", "--accept", "--folder", "--minutes")
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
    subcommands = commands.add_subparsers(required=True)
    receipt = subcommands.add_parser(
        "receipt", help="say whether the last run's tables are the committed ones"
    )
    receipt.add_argument("--profile", default="quick", help=PROFILE)
    receipt.add_argument(
        "--accept", action="store_true", help="make them the committed ones (receipt.json)"
    )
    receipt.set_defaults(carry_out=_receipt)
    pipeline = subcommands.add_parser(
        "pipeline", help="run stream, trainer, servers and Embedding Producer, with a live page"
    )
    pipeline.set_defaults(carry_out=_pipeline)
    pipeline.add_argument(
        "--folder", default="pipeline", help="of all that it writes, and goes on from (pipeline)"
    )
    pipeline.add_argument("--minutes", type=float, help="that it runs; until Ctrl-C if left out")
    _add_parameters(pipeline, "set a parameter (lib.online.pipeline.parameters)")
    decide = subcommands.add_parser(
        "decide", help="your own tables and prices: which size to deploy, as one HTML page"
    )
    decide.set_defaults(carry_out=_decide)
    decide.add_argument(
        "question", nargs="?", help="YAML file of tables and prices (lib.run.decide.question)"
    )
    decide.add_argument("--folder", default="decision", help="of all that it writes (decision)")
    _add_parameters(decide, "set a parameter of the question")
    check = subcommands.add_parser(
        "check", help="say what a run would use and what is wrong with it, and run nothing"
    )
    check.set_defaults(carry_out=_check)
    _add_notebooks(check)
    new = subcommands.add_parser(
        "new", help="make a profile of your own: parameter files and example tables"
    )
    new.set_defaults(carry_out=_new)
    new.add_argument("folder", metavar="FOLDER", help="that is made")
    new.add_argument("--logs", action="store_true", help="with notebook 00 and an example log")
    command = subcommands.add_parser("run", help="run notebooks")
    command.set_defaults(carry_out=_run)
    _add_notebooks(command)
    command.add_argument("--force", action="store_true", help="run also what is up to date")
    return commands


def _add_notebooks(command):
    command.add_argument(
        "notebooks",
        nargs="*",
        metavar="NOTEBOOK",
        help="as 02, 02_bnsl_fitting or a path; all of the profile if left out",
    )
    command.add_argument("--profile", default="quick", help=PROFILE)
    _add_parameters(command, "set a parameter wherever it is declared")


def _add_parameters(command, text):
    command.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        dest="parameters",
        metavar=("NAME", "VALUE"),
        help=text,
    )


def _fail(message, status, command="run"):
    print(f"{command}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

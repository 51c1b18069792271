"""python -m benchmarks [NAME ...]: run benchmarks, all by default, and keep their figures."""

import importlib
import pkgutil
import sys

import benchmarks
from lib.infra import machine
from lib.infra.files import write_json
from lib.infra.settings import configure
from lib.run.places import root

# Parts of a benchmark, and what is run by itself.
NO_BENCHMARKS = {
    *("__main__", "report", "made_curves", "click_recovery", "torch_dlrm", "one_more_decade"),
    *("online_faults", "online_server", "online_training", "trainer_on_gpu"),
}


def names() -> list[str]:
    """The benchmarks there are."""
    modules = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
    return sorted(modules - NO_BENCHMARKS)


def main(arguments: list[str]) -> None:
    """Run the named benchmarks, all without a name; write outputs/bench/NAME.json of each."""
    unknown = sorted(set(arguments) - set(names()))
    if unknown:
        raise SystemExit(f"benchmarks: no benchmark {unknown[0]!r}; there are {', '.join(names())}")
    configure()
    for name in arguments or names():
        rows = importlib.import_module(f"benchmarks.{name}").main()
        path = root() / "outputs" / "bench" / f"{name}.json"
        write_json(path, {"machine": machine.facts(), "rows": rows})
        missed = [row["figure"] for row in rows if row["met"] is False]
        targets = sum(row["met"] is not None for row in rows)  # other rows are for context
        print(
            f"{name}: {targets - len(missed)} of {targets} targets met"
            + (f"; missed: {', '.join(missed)}" if missed else "")
        )


if __name__ == "__main__":
    main(sys.argv[1:])

"""One process of a distributed training.

python -m lib.training.distributed.process PLAN ROLE INDEX PARENT
"""

import hashlib
import os
import sys
import time
import traceback
from pathlib import Path

from lib.infra.files import write_json
from lib.infra.parent import end_with_parent
from lib.training.distributed.cluster import Plan


def main(arguments: list[str]) -> None:
    """Take part as the plan says, until done or until the parent is gone."""
    path, role, index = Path(arguments[0]), arguments[1], int(arguments[2])
    end_with_parent(int(arguments[3]))
    plan = Plan.read(path)
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)
    code = 1
    try:
        if role == "server" or (role == "worker" and plan.way in ("asynchronous", "hybrid")):
            from lib.training.distributed import tensorflow_server

            tensorflow_server.serve(plan.addresses, role, index)
        learner = _learner(plan, index)
        report = _train(plan, learner, is_chief=plan.chief == f"{role}_{index}")
        if report:
            write_json(path.parent / "report.json", report)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Not by a normal exit, at which libraries wait for peers that are gone already.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _learner(plan, index):
    from lib.training.learner import set_up_backend

    if plan.way == "synchronous":
        from lib.training.distributed import synchronous

        places = plan.addresses["worker"]
        if len(places) > 1:
            synchronous.connect(places[0], len(places), index, int(plan.timeout))
        return plan.work.make_learner(synchronous.SynchronousLearner)
    if plan.way in ("asynchronous", "hybrid"):
        from lib.training.distributed import asynchronous, hybrid, parameter_servers

        set_up_backend()
        parameter_servers.connect(plan.addresses)
        kinds = {"asynchronous": asynchronous.AsynchronousLearner, "hybrid": hybrid.HybridLearner}
        return plan.work.make_learner(
            kinds[plan.way],
            workers=len(plan.addresses["worker"]),
            servers=len(plan.addresses["server"]),
            **plan.options,
        )
    raise ValueError(f"process: no way {plan.way!r}")


def _train(plan, learner, is_chief):
    from lib.training.distributed.read_ahead import ReadAhead
    from lib.training.loop import train

    checkpoint = plan.work.make_checkpoint()
    if checkpoint and not is_chief:
        checkpoint.save = lambda *_: None  # one process keeps it for all
    begin, calls = time.perf_counter(), timed(learner)
    report = train(
        learner,
        ReadAhead(plan.work.make_source()),
        target=plan.work.make_target(),
        checkpoint=checkpoint,
        progress=False,
    )
    values = [variable.numpy() for variable in learner.variables]
    if not is_chief:
        return None
    return {
        "losses": report.losses.tolist(),
        "impressions": report.impressions,
        "samples": report.samples,
        **rate(calls),
        "wall_seconds": time.perf_counter() - begin,
        "digest": hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest(),
        **getattr(learner, "measured", {}),
    }


def timed(learner) -> list:
    """A list to which each call of `take_steps` will add (its end, its impressions)."""
    calls, take_steps = [], learner.take_steps

    def timed_steps(examples, full_batch):
        losses = take_steps(examples, full_batch)
        calls.append((time.perf_counter(), sum(len(target) for _, target in examples)))
        return losses

    learner.take_steps = timed_steps
    return calls


def rate(calls) -> dict:
    """timed_impressions and seconds of all calls but the first two, in which workers compile."""
    return {
        "timed_impressions": sum(impressions for _, impressions in calls[2:]),
        "seconds": calls[-1][0] - calls[1][0] if len(calls) > 2 else 0.0,
    }


if __name__ == "__main__":
    main(sys.argv[1:])

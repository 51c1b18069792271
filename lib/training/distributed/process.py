"""One process of a distributed training.

python -m lib.training.distributed.process PLAN ROLE INDEX
"""

import hashlib
import os
import sys
import threading
import time
from pathlib import Path

from lib.infra.files import write_json
from lib.training.distributed.cluster import Plan


def main(arguments: list[str]) -> None:
    """Take part as the plan says, until done or until the parent is gone."""
    path, role, index = Path(arguments[0]), arguments[1], int(arguments[2])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    plan = Plan.read(path)
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)
    learner = _learner(plan, index)
    report = _train(plan, learner, is_chief=plan.chief == f"{role}_{index}")
    if report:
        write_json(path.parent / "report.json", report)
    # Not by a normal exit, at which libraries wait for peers that are gone already.
    sys.stdout.flush()
    os._exit(0)


def _end_with_parent():
    sys.stdin.buffer.read()  # returns when the parent's end of the pipe is closed
    os._exit(1)


def _learner(plan, index):
    if plan.way == "synchronous":
        from lib.training.distributed import synchronous

        places = plan.addresses["worker"]
        if len(places) > 1:
            synchronous.connect(places[0], len(places), index, int(plan.timeout))
        return plan.work.make_learner(synchronous.SynchronousLearner)
    raise ValueError(f"process: no way {plan.way!r}")


def _train(plan, learner, is_chief):
    from lib.training.distributed.read_ahead import ReadAhead
    from lib.training.loop import train

    checkpoint = plan.work.make_checkpoint()
    if checkpoint and not is_chief:
        checkpoint.save = lambda *_: None  # one process keeps it for all
    begin = time.perf_counter()
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
        "timed_impressions": report.timed_impressions,
        "seconds": report.seconds,
        "wall_seconds": time.perf_counter() - begin,
        "digest": hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest(),
        **getattr(learner, "measured", {}),
    }


if __name__ == "__main__":
    main(sys.argv[1:])

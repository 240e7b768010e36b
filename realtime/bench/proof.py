"""Whether `reenactd bench compare` can be relied on: what it says of the same code, and of a sleep.

    python -m realtime.bench.proof none --times 20           the working tree with itself: must pass
    python -m realtime.bench.proof reenact --times 20        with 10 ms in a stage: must fail

Every comparison has processes of its own, as `bench compare` has, and its number of pairs.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

from realtime.bench.compare import Comparison, compare, summary
from realtime.bench.report import Report, finish
from realtime.bench.revisions import (
    DEFAULT_ARGUMENTS,
    PROGRAM,
    ROOT,
    TURN_PAIRS,
    WORKING_TREE,
    Turns,
    Version,
    commit_of,
    measure_in_turns,
)

MARGIN = 0.05
NONE = "none"
STAGES = ("ingest", "track", "retarget", "reenact", "composite", "mark", "emit")


def compared(stage: str, sleep_ms: float, pairs: int) -> Comparison:
    """The working tree (base) and the same with a sleep in that stage (head)."""
    version = Version(WORKING_TREE, ROOT, commit_of(WORKING_TREE))
    slowed = ("realtime.bench.slowed", stage, str(sleep_ms))
    programs = (PROGRAM, PROGRAM if stage == NONE else slowed)
    arguments = DEFAULT_ARGUMENTS["pipeline"]
    with ExitStack() as stack:
        sides = [
            stack.enter_context(Turns(version, "pipeline", arguments, program))
            for program in programs
        ]
        for side in sides:
            side.run()  # warm
        base, head = measure_in_turns(sides, pairs, lambda done: None)
    return compare(base, head, ("as it is", f"{stage} slowed"), MARGIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=(NONE, *STAGES))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--sleep-ms", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=TURN_PAIRS)
    options = parser.parse_args()
    failed = named = 0
    for number in range(options.times):
        found = compared(options.stage, options.sleep_ms, options.pairs)
        worse = [row.name for row in found.regressions]
        failed += bool(worse)
        named += f"stage_{options.stage}_p50_ms" in worse
        print(f"{number + 1}: {summary(found)}", file=sys.stderr, flush=True)
    stated = {
        "stage": options.stage,
        "sleep_ms": options.sleep_ms,
        "pairs": options.pairs,
        "margin": MARGIN,
    }
    counts = {"comparisons": options.times, "failed": failed, "stage_named": named}
    finish(Report("proof", stated, {name: float(count) for name, count in counts.items()}))


if __name__ == "__main__":
    main()

"""Whether `reenactd bench compare` can be relied on: what it says of the same code, and of a sleep.

    python -m realtime.bench.proof none --times 20           the working tree with itself: must pass
    python -m realtime.bench.proof reenact --times 20        with 10 ms in a stage: must fail
    python -m realtime.bench.proof encode --times 20         likewise, of the transport

Every comparison has processes of its own, as `bench compare` has, and its number of pairs. Exit
code 0 if every comparison said what it must, 1 if one did not, 2 if one could not be made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from realtime.bench.checkouts import ROOT, WORKING_TREE, Version, commit_of
from realtime.bench.compare import Comparison, Outcome, Rule, margin_of
from realtime.bench.gate import MOST_TURNS, decide_surely, looks_at
from realtime.bench.report import Report, finish
from realtime.bench.revisions import DEFAULT_ARGUMENTS, PROGRAM, TURN_PAIRS, Turns
from realtime.bench.slowed import TRANSPORT
from realtime.bench.verdicts import summary
from realtime.errors import ReenactdError

NONE, NONE_OF_ECHO = "none", "none-of-echo"
STAGES = ("ingest", "track", "retarget", "reenact", "composite", "mark", "emit")
"""of `bench pipeline`"""


def scenario_of(stage: str) -> str:
    return "echo" if stage in (NONE_OF_ECHO, *TRANSPORT) else "pipeline"


def expected_of(stage: str) -> Outcome:
    """What a comparison must say."""
    return "passed" if stage in (NONE, NONE_OF_ECHO) else "regression"


def compared(stage: str, sleep_ms: float, pairs: int, most_pairs: int) -> Comparison:
    """The working tree (base) and the same with a sleep in that stage (head)."""
    version = Version(WORKING_TREE, ROOT, commit_of(WORKING_TREE))
    slowed = ("realtime.bench.slowed", stage, str(sleep_ms))
    programs = (PROGRAM, PROGRAM if expected_of(stage) == "passed" else slowed)
    scenario = scenario_of(stage)

    @contextmanager
    def opened() -> Iterator[tuple[Sequence[Turns], bool]]:
        with ExitStack() as stack:
            sides = [
                stack.enter_context(Turns(version, scenario, DEFAULT_ARGUMENTS[scenario], program))
                for program in programs
            ]
            for side in sides:
                side.run()  # warm
            yield sides, True

    names = ("as it is", f"{stage} slowed" if slowed in programs else "the same")
    return decide_surely(opened, names, lambda _: looks_at(pairs, most_pairs), Rule())[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=(NONE, *STAGES, NONE_OF_ECHO, *TRANSPORT))
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--sleep-ms", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=TURN_PAIRS)
    parser.add_argument("--most-pairs", type=int, default=TURN_PAIRS * MOST_TURNS)
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    named = 0
    for number in range(options.times):
        found = compared(options.stage, options.sleep_ms, options.pairs, options.most_pairs)
        outcomes.append(found.outcome)
        named += f"stage_{options.stage}_p50_ms" in [row.name for row in found.regressions]
        print(f"{number + 1}: {summary(found)}", file=sys.stderr, flush=True)
    stated = {
        "stage": options.stage,
        "sleep_ms": options.sleep_ms,
        "pairs": options.pairs,
        "most_pairs": options.most_pairs,
        "margin": margin_of(scenario_of(options.stage)),
        "expected": expected_of(options.stage),
    }
    counts = {
        "comparisons": options.times,
        "passed": outcomes.count("passed"),
        "failed": outcomes.count("regression"),
        "inconclusive": outcomes.count("inconclusive"),
        "stage_named": named,
    }
    finish(Report("proof", stated, {name: float(count) for name, count in counts.items()}))
    return exit_code(options.stage, outcomes)


def exit_code(stage: str, outcomes: list[Outcome]) -> int:
    """0 if all of them are what they must be, and there is one."""
    return 0 if outcomes and set(outcomes) == {expected_of(stage)} else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ReenactdError as error:
        print(f"proof: {error}", file=sys.stderr)
        sys.exit(2)

"""``python -m benchmarks.delivery``: reports per second from the outbox into sinks that do nothing."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.model import Evidence, Rank, Submission, TerminalState
from raydp_wrap.outcome import decide
from raydp_wrap.reporter.reporter import Reporter
from raydp_wrap.sinks import parse
from raydp_wrap.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydp_wrap.model import Report


class Nothing(Sink):
    """Accepts."""

    def deliver(self, _report: Report) -> Answer:
        return Answer(Verdict.ACCEPTED)


def sink(text: str) -> Sink:
    return Nothing() if text == "nothing" else parse(text, {}).sink


def deliveries_a_second(text: str, count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="raydp-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        with Store(home) as store:
            for number in range(count):
                submission = Submission(
                    f"s{number}", "n", 1.0, (text.replace("FOLDER", folder).replace("N", str(number)),)
                )
                store.submit(submission)
                ended = Evidence("wait status", "exited with 0", Rank.WAIT_STATUS, 2.0, TerminalState.FINISHED, 0)
                store.finish(decide([ended], submission))
            began = time.perf_counter()
            Reporter(store, sink).drain(600)
            took = time.perf_counter() - began
            assert store.undelivered() == []
    return count / took


SINKS = {"nothing": "nothing", "file": "file:FOLDER/N.json", "exec": "exec:/bin/true"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 reports a sample instead of 100")
    parser.add_argument("--samples", type=int, default=5, metavar="N")
    options = parser.parse_args(argv)
    count = 20 if options.quick else 100
    order = [name for name in SINKS for _ in range(options.samples)]
    random.SystemRandom().shuffle(order)
    found: dict[str, list[float]] = {name: [] for name in SINKS}
    for name in order:
        found[name].append(deliveries_a_second(SINKS[name], count))
    print(f"{count} reports, {options.samples} samples, shuffled: deliveries per second")
    for name, rates in found.items():
        print(f"  {name:10} {statistics.median(rates):8.0f}   ({min(rates):.0f}-{max(rates):.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

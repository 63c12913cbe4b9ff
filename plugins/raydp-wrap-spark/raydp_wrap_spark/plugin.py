"""The plugin's hooks, and nothing else: everything behind them is imported when they are called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from raydp_wrap.hookspecs import hookimpl

from raydp_wrap_spark.names import MAIN_CLASS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import click
    from raydp_wrap.backend import Check
    from raydp_wrap.model import Event, Evidence, ExitRecord, Launch, Submission
    from raydp_wrap.watch import Watch


@hookimpl
def raydp_wrap_build_launch(tool: str, argv: Sequence[str], env: Mapping[str, str]) -> Launch | None:
    """Know ``spark-submit`` and ``raydp-submit``."""
    if tool == "spark-submit":
        from raydp_wrap_spark.submit import spark_submit  # noqa: PLC0415 - only its users should pay

        return spark_submit(argv, env)
    if tool == "raydp-submit":
        from raydp_wrap_spark.raydp import raydp_submit  # noqa: PLC0415 - the same

        return raydp_submit(argv, env)
    return None


@hookimpl
def raydp_wrap_watch(submission: Submission, launch: Launch) -> Watch | None:
    """Listen to a Spark driver, or to who submits it to a cluster."""
    if MAIN_CLASS not in launch.argv:
        return None
    from raydp_wrap_spark.watching import watch  # noqa: PLC0415 - the same

    return watch(submission, launch)


@hookimpl
def raydp_wrap_stop_remote(submission: Submission, record: ExitRecord | None, saved: Mapping[str, Any]) -> None:
    """End the cluster's driver of a job that was stopped."""
    if saved:
        from raydp_wrap_spark.judging import stop_remote  # noqa: PLC0415 - the same

        stop_remote(submission, record, saved)


@hookimpl
def raydp_wrap_evidence(submission: Submission, record: ExitRecord, saved: Mapping[str, Any]) -> Iterable[Evidence]:
    """Say what the driver's launcher connection, its cluster and Spark's exit codes tell."""
    if not saved:
        return ()
    from raydp_wrap_spark.judging import evidence  # noqa: PLC0415 - the same

    return evidence(submission, record, saved)


@hookimpl
def raydp_wrap_event(event: Event) -> None:
    """Have the next start be faster, after a success."""
    # Where no Spark was launched from here, there is nothing to do, nor to import.
    making = sys.modules.get("raydp_wrap_spark.faststart.making")
    if making is not None:
        making.after(event)


@hookimpl
def raydp_wrap_checks() -> Iterable[Check]:
    """Say which Spark and Java are found, and whether a start cache is in use."""
    from raydp_wrap_spark.checks import checks  # noqa: PLC0415 - the same

    return checks()


@hookimpl
def raydp_wrap_commands() -> Mapping[str, Callable[[], click.Command]]:
    """Bring ``raydp-wrap shim``."""

    def shim() -> click.Command:
        from raydp_wrap_spark.shim import command  # noqa: PLC0415 - the same

        return command()

    return {"shim": shim}

"""What the cluster knows, as evidence, and its part of a stop: by what a watch has saved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.model import Evidence, TerminalState

from raydp_wrap_spark.cluster.clock import Deadline
from raydp_wrap_spark.cluster.master_confs import take
from raydp_wrap_spark.cluster.truth import TruthUnknownError
from raydp_wrap_spark.cluster.verdict import verdict
from raydp_wrap_spark.cluster.watch import KIND, YARN_KIND
from raydp_wrap_spark.settings import CLUSTER_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raydp_wrap.model import ExitRecord, Submission

    from raydp_wrap_spark.cluster.truth import Told, Truth

__all__ = ["evidence", "stop_remote"]

# Of the 5 s there are for evidence.
_MOST = 4.0
_UNNAMED = (
    "the application's id is not known, so YARN was not asked to end it and it may still run: look for it with "
    "'yarn application -list', and end it by hand."
)
# What a stop has learnt, for the evidence that is asked for next, in the same process.
_told: dict[str, Told] = {}
_failed: dict[str, str] = {}


def evidence(submission: Submission, record: ExitRecord, saved: Mapping[str, Any]) -> Iterable[Evidence]:
    """Ask the cluster how it ended. Where it can't say, the evidence is that, and why."""
    if saved.get("kind") == KIND:
        take(submission.submission_id)  # there will be no more use for them
        return [_of_standalone(submission, record, saved)]
    cluster = saved.get("cluster")
    if isinstance(cluster, dict) and cluster.get("manager") == "yarn":
        return [_of_yarn(submission, record, saved, cluster)]
    return []


def stop_remote(
    submission: Submission,
    record: ExitRecord | None,  # noqa: ARG001 - the hook's
    saved: Mapping[str, Any],
) -> None:
    """Have the cluster end what it runs of the attempt, and wait until it says so; a timeout of 0 leaves it alone.

    Raises:
        RaydpWrapError: it may still run: what was tried, and what to do.

    """
    cluster = saved.get("cluster")
    if saved.get("kind") == KIND:
        secrets = take(submission.submission_id)
        app, truth, timeout = saved.get("driver"), _standalone(saved, secrets), saved.get("timeout")
        what = "the cluster's driver"
    elif isinstance(cluster, dict) and cluster.get("manager") == "yarn":
        app, truth, timeout = _app_id(submission, saved), _yarn(cluster), cluster.get("timeout")
        what = "the cluster's application"
    else:
        return
    seconds = _seconds(timeout)
    # Before a driver calls its launcher, it has submitted nothing.
    if not app and seconds and cluster and (saved.get("kind") == YARN_KIND or saved.get("state")):
        raise RaydpWrapError(_UNNAMED)
    if not app or not seconds:
        return  # the evidence says so, and what is left behind
    try:
        _told[submission.submission_id] = truth.end(app, Deadline(seconds))
    except TruthUnknownError as error:
        _failed[submission.submission_id] = str(error)
        raise RaydpWrapError(f"{what} {app} may still run, end it by hand: {error}") from error


def _of_standalone(submission: Submission, record: ExitRecord, saved: Mapping[str, Any]) -> Evidence:
    from raydp_wrap_spark.cluster.driver_states import told  # noqa: PLC0415 - for standalone only

    now = time.time()
    driver, word = saved.get("driver"), str(saved.get("state") or "")
    if not driver:
        return Evidence("standalone master", "the submitter has named no driver: nobody knows whether one runs", at=now)
    heard = told("standalone master, as its submitter was told", word)
    why, failed = "", _failed.pop(submission.submission_id, "")
    if (answer := _told.pop(submission.submission_id, None)) is not None and not answer.ended:
        return Evidence(answer.by, f"{driver} had ended when it was to be killed; it isn't known how", at=now)
    # A web UI knows no more of a failure than the submitter was told; a REST gateway says why.
    by_ui = not (saved.get("place") or {}).get("rest")
    if answer is None and not (by_ui and heard.state in (TerminalState.FAILED, TerminalState.KILLED)):
        try:
            answer = _standalone(saved).ask(driver, Deadline(_MOST))
        except TruthUnknownError as error:
            why = f" (it can't be asked now: {error})"
    answer = answer or heard
    if answer.ended:
        return verdict(answer, "cluster", record, now)
    after = "though the submitter was to wait for it" if saved.get("waits") else "nobody has waited for its end"
    if failed:
        after = f"it could not be ended: {failed}"
    text = f"{driver} was left behind as {answer.word or 'unknown'}{why}; {after}"
    return Evidence(answer.by, text, at=now)


def _of_yarn(
    submission: Submission, record: ExitRecord, saved: Mapping[str, Any], cluster: Mapping[str, Any]
) -> Evidence:
    now = time.time()
    app = _app_id(submission, saved)
    if not app:
        return Evidence("YARN", "the application's id is not known: YARN can't be asked", at=now)
    _failed.pop(submission.submission_id, None)
    try:
        answer = _told.pop(submission.submission_id, None) or _yarn(cluster).ask(app, Deadline(_MOST))
    except TruthUnknownError as error:
        return Evidence("YARN", f"it is not known how {app} ended: {error}", at=now)
    return verdict(answer, str(cluster.get("mode")), record, now)


def _standalone(saved: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> Truth:
    from raydp_wrap_spark.cluster.place import Place  # noqa: PLC0415 - for standalone only
    from raydp_wrap_spark.cluster.standalone import Standalone  # noqa: PLC0415 - the same

    place = saved.get("place")
    return Standalone(Place(**place) if isinstance(place, dict) else Place([]), secrets)


def _yarn(cluster: Mapping[str, Any]) -> Truth:
    from raydp_wrap_spark.cluster.yarn import Yarn  # noqa: PLC0415 - for YARN only

    return Yarn(
        list(cluster.get("rm") or ()), user=str(cluster.get("user") or ""), kerberos=bool(cluster.get("kerberos"))
    )


def _app_id(submission: Submission, saved: Mapping[str, Any]) -> str:
    return str(saved.get("app_id") or submission.app_id or "")


def _seconds(timeout: object) -> float:
    return float(timeout) if isinstance(timeout, (int, float)) else CLUSTER_TIMEOUT

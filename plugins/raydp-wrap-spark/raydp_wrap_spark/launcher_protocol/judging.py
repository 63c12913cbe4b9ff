"""What a launcher's connection, and a JVM that was ended because it hung, say of how the application ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydp_wrap.model import Cause, Evidence, Rank, Reason, TerminalState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap.model import ExitRecord, Submission

__all__ = ["evidence"]

# A driver says FINISHED whatever its code did, and nothing when it was killed: only the others mean anything.
_STATES = {
    "FAILED": (TerminalState.FAILED, Reason.APP_FAILED),
    "LOST": (TerminalState.FAILED, Reason.JOB_LOST),
    "KILLED": (TerminalState.KILLED, Reason.STOP_REQUESTED),
}
_UNKNOWN = (TerminalState.UNKNOWN, None)
_SOURCE = "JVM"
_KILLED_CODE = 143


def evidence(
    submission: Submission,  # noqa: ARG001 - as hooks are called
    record: ExitRecord,
    saved: Mapping[str, Any],
) -> Iterator[Evidence]:
    """What SAVED, a LauncherWatch's, says of the attempt that RECORD is about."""
    state, reason = _STATES.get(str(saved.get("state")), _UNKNOWN)
    if saved.get("state"):
        text = f"the driver's last word to its launcher was {saved['state']}"
        yield Evidence("Spark launcher", text, Rank.LAUNCHER, saved.get("at"), state, reason=reason)
    hang = saved.get("hang")
    if record.cause is not Cause.EXIT_FORCED or not hang:
        return
    found = _of_hang(hang)
    if hang.get("keepers"):
        exiting = hang.get("main") == "exiting"
        kept = (
            "shutdown hooks do not end, in the threads"
            if exiting
            else "the JVM was kept alive by the non-daemon threads"
        )
        text = f"{found.observation}; {kept} {hang['keepers']}"
        found = replace(found, observation=text)
    # The JVM's own exit with 0, had it come to that, would have been downgraded just so.
    if found.state is TerminalState.FINISHED and state is not TerminalState.UNKNOWN:
        text = f"{found.observation}, but the driver's last word to its launcher was {saved['state']}"
        code = _KILLED_CODE if state is TerminalState.KILLED else 1
        found = replace(found, observation=text, state=state, exit_code=code, reason=reason)
    yield found


def _of_hang(hang: Mapping[str, Any]) -> Evidence:
    """How the application ended whose JVM had to be ended."""
    code = hang.get("python_exit_code")
    if code is not None:
        state = TerminalState.FINISHED if code == 0 else TerminalState.FAILED
        reason = Reason.EXIT_FORCED if code == 0 else Reason.APP_FAILED
        return Evidence("Python driver", f"it exited with {code}", Rank.CLUSTER, None, state, code, reason=reason)
    if hang.get("main") != "ended":
        return Evidence(_SOURCE, "the application called System.exit: its exit code is not known")
    if hang.get("python"):
        # SparkSubmit calls System.exit when its Python driver has failed.
        text = "main has ended, as it does when its Python driver exited with 0"
        return Evidence(_SOURCE, text, Rank.CLUSTER, None, TerminalState.FINISHED, 0, reason=Reason.EXIT_FORCED)
    if hang.get("printed_exception") is None:
        return Evidence(_SOURCE, "main has ended; whether with an exception is not known")
    if hang["printed_exception"]:
        # So it is, too, where the application has caught and printed one.
        text = "main has ended, and an exception was printed that may have been its end"
        return Evidence(_SOURCE, text, Rank.CLUSTER, None, TerminalState.FAILED, 1, reason=Reason.EXIT_FORCED)
    text = "main has ended, and there is no sign of an exception"
    return Evidence(_SOURCE, text, Rank.CLUSTER, None, TerminalState.FINISHED, 0, reason=Reason.EXIT_FORCED)

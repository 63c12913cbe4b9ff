"""What hooks may answer. Each function here returns what is good of an answer, and a sentence on what is not.

They run in the plugins' own time: iterating over an answer is their code again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from raydp_wrap.model import Evidence, Launch, Rank, Reason, TerminalState

if TYPE_CHECKING:
    from collections.abc import Callable

    from raydp_wrap.backend import Check
    from raydp_wrap.watch import Notice, Watch

__all__ = ["checks", "evidence", "launch", "named", "notices", "saved", "watch"]

T = TypeVar("T")

_MOST = 100
_LONGEST = 4096
_SAVED = 64 * 1024
_CODES = range(256)
_SIGNALS = range(1, 65)
_SHOWN = 100
_NAME = r"[a-z][a-z0-9+.-]{0,30}"


def launch(answer: object) -> tuple[Launch | None, list[str]]:
    """A Launch that can be started."""
    if answer is None:
        return None, []
    if not isinstance(answer, Launch):
        return None, [f"it answered with {type(answer).__name__}, not with a Launch"]
    if not isinstance(answer.argv, (tuple, list)):
        return None, [f"the argv of its Launch is {type(answer.argv).__name__}, not a tuple"]
    answer = replace(answer, argv=tuple(answer.argv))
    problem = _problem_of(answer)
    return (None, [problem]) if problem else (answer, [])


def _problem_of(launch: Launch) -> str:
    """What keeps LAUNCH from being started, as far as can be seen without starting it."""
    if not launch.argv:
        return "the argv of its Launch is empty"
    texts: list[object] = [*launch.argv, launch.name]
    texts += [text for text in (launch.executable, launch.cwd) if text is not None]
    if launch.env is not None:
        if not isinstance(launch.env, Mapping):
            return f"the env of its Launch is {type(launch.env).__name__}, not a mapping"
        texts += [*launch.env.keys(), *launch.env.values()]
    for text in texts:
        if not isinstance(text, str):
            return f"its Launch holds {text!r} where a str is needed"
        if "\0" in text:
            return "its Launch holds a NUL character"
    if not isinstance(launch.settings, Mapping):
        return f"the settings of its Launch are {type(launch.settings).__name__}, not a mapping"
    if not all(_is_open(fd) for fd in launch.pass_fds):
        return "the pass_fds of its Launch are no open descriptors"
    if not all(fd is None or _is_open(fd) for fd in (launch.stdout, launch.stderr)):
        return "the stdout or stderr of its Launch is no open descriptor"
    return ""


def _is_open(fd: object) -> bool:
    if type(fd) is not int:
        return False
    try:
        os.fstat(fd)
    except (OSError, OverflowError):  # more than a C int holds
        return False
    return True


def watch(answer: object) -> tuple[tuple[Watch, Launch, int] | None, list[str]]:
    """A Watch, the Launch it wants, and its descriptor."""
    from raydp_wrap.watch import Watch  # noqa: PLC0415 - for a watch only

    if answer is None:
        return None, []
    if not isinstance(answer, Watch):
        return None, [f"it answered with {type(answer).__name__}, not with a Watch"]
    problems = ["its Watch has no Launch"]
    try:
        wanted, fd = answer.launch, answer.fileno()
        if wanted is not None:
            checked, problems = launch(wanted)
            if not _is_open(fd):
                problems = ["the fileno of its Watch is no open descriptor"]
            elif checked is not None:
                return (answer, checked, fd), []
    except BaseException:
        answer.close()
        raise
    answer.close()
    return None, problems


def notices(answer: object) -> tuple[list[Notice], list[str]]:
    """Notices, each with what is good of it."""
    from raydp_wrap.watch import Notice  # noqa: PLC0415 - for a watch only

    found, problems = _of_type(answer, Notice, "a Notice")
    good = []
    for one in found:
        if (one.app_id is not None and not isinstance(one.app_id, str)) or not isinstance(one.over, str):
            problems.append("a Notice of it holds something else than text")
        else:
            good.append(replace(one, running=bool(one.running), asked=bool(one.asked)))
    return good, problems


def saved(answer: object) -> tuple[str, list[str]]:
    """What a watch wants kept, as JSON; "" is nothing."""
    if answer is None:
        return "", []
    if not isinstance(answer, Mapping):
        return "", [f"it saves {type(answer).__name__}, not a mapping"]
    text = json.dumps(dict(answer), allow_nan=False)
    return ("", [f"what it saves is longer than {_SAVED} characters"]) if len(text) > _SAVED else (text, [])


def evidence(answer: object) -> tuple[list[Evidence], list[str]]:
    """Pieces of Evidence, bounded, and of no higher rank than a cluster's."""
    found, problems = _of_type(answer, Evidence, "Evidence")
    good = []
    for piece in found:
        problem = _fault_of(piece)
        if problem:
            problems.append(problem)
            continue
        good.append(
            replace(
                piece,
                rank=min(piece.rank, Rank.CLUSTER),
                source=piece.source[:_LONGEST],
                observation=piece.observation[:_LONGEST],
            )
        )
    return good, problems


def _fault_of(piece: Evidence) -> str:
    from raydp_wrap.outcome.document import showable  # noqa: PLC0415 - for evidence only

    fields: dict[str, tuple[type, ...]] = {
        "source": (str,),
        "observation": (str,),
        "rank": (Rank,),
        "at": (int, float, type(None)),
        "state": (TerminalState,),
        "exit_code": (int, type(None)),
        "signal": (int, type(None)),
        "reason": (Reason, type(None)),
    }
    for name, types in fields.items():
        value = getattr(piece, name)
        if not isinstance(value, types) or isinstance(value, bool):
            return f"the {name} of its Evidence is {_short(value)}"
    if piece.exit_code is not None and piece.exit_code not in _CODES:
        return f"the exit_code of its Evidence is {_short(piece.exit_code)}, not one of 0 to 255"
    if piece.signal is not None and piece.signal not in _SIGNALS:
        return f"the signal of its Evidence is {_short(piece.signal)}, not one of 1 to 64"
    if piece.at is not None and not showable(piece.at):
        return "the at of its Evidence is no point in time, in seconds since the epoch"
    return ""


def _short(value: object) -> str:
    # Python refuses to write an int of some thousand digits.
    return f"{value:#x}"[:_SHOWN] if isinstance(value, int) else repr(value)[:_SHOWN]


def checks(answer: object) -> tuple[list[Check], list[str]]:
    """Checks."""
    from raydp_wrap.backend import Check  # noqa: PLC0415 - for doctor only

    found, problems = _of_type(answer, Check, "a Check")
    good = [Check(str(one.name), bool(one.ok), str(one.text)) for one in found]
    return good, problems


def _of_type(answer: object, kind: type[T], word: str) -> tuple[list[T], list[str]]:
    if answer is None:
        return [], []
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        return [], [f"it answered with {type(answer).__name__}, not with an iterable of {word}"]
    items: list[Any] = list(islice(answer, _MOST + 1))
    problems = [f"it answered with more than {_MOST}"] if len(items) > _MOST else []
    strange = [item for item in items[:_MOST] if not isinstance(item, kind)]
    if strange:
        problems.append(f"there is {type(strange[0]).__name__} in its answer, not {word}")
    return [item for item in items[:_MOST] if isinstance(item, kind)], problems


def named(answer: object) -> tuple[dict[str, Callable[..., object]], list[str]]:
    """What makes something, by name."""
    if answer is None:
        return {}, []
    if not isinstance(answer, Mapping):
        return {}, [f"it answered with {type(answer).__name__}, not with a mapping"]
    good = {}
    problems = []
    for name, make in dict(answer).items():
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            problems.append(f"{name!r} is no name: it takes a to z, then also digits and + . - (31 at most)")
        elif not callable(make):
            problems.append(f"what it brings as {name!r} can't be called")
        else:
            good[name] = make
    return good, problems

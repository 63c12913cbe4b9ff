"""What ``raydp-wrap doctor`` looks at: the home directory, SQLite, the kernel, the plugins, what is left to do."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

from raydp_wrap import plugins
from raydp_wrap.backend import Check
from raydp_wrap.errors import RaydpWrapError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["checks"]

#: How long one of our own checks may take, in seconds: a dead network file system hangs whoever touches it.
LIMIT = 10.0
# A run that is just being made must not find its lock taken by us.
_JUST_NOW = 5.0


def checks(*, limit: float = LIMIT) -> list[Check]:
    """Every check's result, ours and the plugins'. One that raises or hangs is a result, too: not well."""
    problems: list[str] = []
    found: list[Check] = []
    for name, check in {"home": _home, "sqlite": _sqlite, "kernel": _kernel, "reports": _reports}.items():
        found += _done(name, check, limit)
    found += _done("plugins", _plugins, None)
    found += _done("plugins", lambda: plugins.checks(problems.append), None)
    return [*found, *(Check("plugins", ok=False, text=problem) for problem in problems)]


def _done(name: str, check: Callable[[], Iterable[Check]], limit: float | None) -> list[Check]:
    """What CHECK says. Without a LIMIT it is called right here: it has limits of its own."""
    if limit is None:
        try:
            return list(check())
        except RaydpWrapError as error:
            return [Check(name, ok=False, text=str(error))]
    called = plugins.call(lambda: list(check()), limit)
    if called.value is not None:
        return called.value
    text = called.says if called.error is not None else f"it takes more than {limit:g} s"
    return [Check(name, ok=False, text=text)]


def _home() -> Iterable[Check]:
    from raydp_wrap.home import home  # noqa: PLC0415 - what can't be imported is a line, not the end of all
    from raydp_wrap.store import network_file_system  # noqa: PLC0415 - the same

    place = home()  # private and writable, or else it says what to do
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(b"x")
    kind = network_file_system(place)
    if kind is not None:
        text = f"{place} is on a network file system ({kind}): set RAYDP_WRAP_HOME to a local directory"
        yield Check("home", ok=False, text=text)
    else:
        yield Check("home", ok=True, text=f"{place} is writable, private and local")


def _sqlite() -> Iterable[Check]:
    from raydp_wrap.store.database import is_safe, sqlite_version  # noqa: PLC0415 - the same

    found = sqlite_version()
    if is_safe(found):
        yield Check("sqlite", ok=True, text=found)
    else:
        text = f"{found} can lose commits of processes that share a store: install apsw 3.51.3 or newer"
        yield Check("sqlite", ok=False, text=text)


def _kernel() -> Iterable[Check]:
    from raydp_wrap.process import probe  # noqa: PLC0415 - the same
    from raydp_wrap.process.guard import GUARD_PATH  # noqa: PLC0415 - the same

    if not os.access(GUARD_PATH, os.X_OK):
        text = f"{GUARD_PATH} can't be executed: install raydp-wrap on a file system without noexec"
        yield Check("kernel", ok=False, text=text)
        return
    caps = probe()
    group = f"cgroup {caps.cgroup}" if caps.cgroup else "no cgroup of its own for a job (none can be made)"
    yield Check("kernel", ok=True, text=f"{os.uname().release}, children by {caps.method}, {group}")


def _plugins() -> Iterable[Check]:
    registry = plugins.installed()
    registry.problems.clear()  # all of it is told here
    wrong = [f"{one.name} is skipped: {one.problem}" for one in registry.plugins if one.state is plugins.State.SKIPPED]
    for text in [*wrong, *registry.broken, *registry.missing]:
        yield Check("plugins", ok=False, text=text)
    if not wrong:
        yield Check("plugins", ok=True, text=", ".join(registry.loaded) or "none is loaded")


def _reports() -> Iterable[Check]:
    from raydp_wrap.home import home  # noqa: PLC0415 - what can't be imported is a line, not the end of all
    from raydp_wrap.runs import Run  # noqa: PLC0415 - the same
    from raydp_wrap.sinks import redacted  # noqa: PLC0415 - the same
    from raydp_wrap.store import Store  # noqa: PLC0415 - the same
    from raydp_wrap.store.place import NAME  # noqa: PLC0415 - the same

    place = home()
    if not os.path.lexists(place / NAME):
        yield Check("reports", ok=True, text="nothing has been submitted yet")
        return
    with Store(place) as store:
        late = [one for one in store.undelivered() if not one.claimed]
        undecided = [one for one in store.undecided() if one.created_at < time.time() - _JUST_NOW]
    left = 0
    for one in undecided:
        run = Run.adopt(place, one.submission_id)
        if run is not None:
            run.close()
            left += 1
    if late:
        why = f" ({late[-1].last_error})" if late[-1].last_error else ""
        text = f"{len(late)} not delivered, the last to {redacted(late[-1].sink)}{why}: raydp-wrap deliver sends them"
        yield Check("reports", ok=False, text=text)
    if left:
        text = f"{left} submissions were left undecided by processes that died: raydp-wrap deliver decides them"
        yield Check("reports", ok=False, text=text)
    if not late and not left:
        yield Check("reports", ok=True, text=f"all are delivered; {len(undecided)} submissions are under way")

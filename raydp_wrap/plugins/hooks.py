"""What the rest of the house asks of plugins, hook by hook."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from raydp_wrap.errors import PluginError, RaydpWrapError
from raydp_wrap.plugins import answers, choice
from raydp_wrap.plugins.calls import LIMIT, each, installed, load, one_by_one
from raydp_wrap.plugins.makers import Brought, in_time, right_here
from raydp_wrap.plugins.registry import State
from raydp_wrap.plugins.words import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import click

    from raydp_wrap.backend import Backend, Check, Sink
    from raydp_wrap.model import Event, Evidence, ExitRecord, Launch, Submission
    from raydp_wrap.plugins.calls import Result, Tell

    Saved = Mapping[str, Mapping[str, Any]]  # by plugin

__all__ = [
    "backends",
    "brought",
    "build_launch",
    "checks",
    "commands",
    "edit_launch",
    "event",
    "evidence",
    "sinks",
    "stop_remote",
]

NOTHING: Final[Saved] = MappingProxyType({})
EVENT_LIMIT = 2.0
#: A cluster may take its time to end a driver.
STOP_LIMIT = 30.0
CHECKS_LIMIT = 20.0
#: A launcher may start a JVM from a cold disk.
BUILD_LIMIT = 120.0


def build_launch(
    tool: str, argv: Sequence[str], env: Mapping[str, str], tell: Tell = warn, *, limit: float = BUILD_LIMIT
) -> Launch:
    """Ask the plugins how TOOL is executed: the first that answers counts.

    Raises:
        PluginError: no plugin knows TOOL, or none of those that do works.
        RaydpWrapError: the plugin that knows TOOL says what is wrong with the request.

    """
    failed: list[str] = []
    given: dict[str, object] = {"tool": tool}
    given |= {"argv": list(argv), "env": dict(env)}
    for result in one_by_one("raydp_wrap_build_launch", given, limit=limit, shape=answers.launch):
        if isinstance(result.cause, RaydpWrapError):
            raise result.cause
        if result.value is not None:
            load(tell)
            for sentence in failed:
                tell(sentence)
            launch: Launch = result.value
            return launch
        if result.error:
            failed.append(result.error)
        given |= {"argv": list(argv), "env": dict(env)}  # the next one's are its own to change
    raise PluginError(_nobody_knows(tool, failed))


def _nobody_knows(tool: str, failed: list[str]) -> str:
    known = installed()
    failed = [*known.broken, *_sentences(State.SKIPPED, "is skipped"), *failed]
    known.problems.clear()
    if failed:
        return f"no plugin that works knows {tool}: {'; '.join(failed)}"
    if os.environ.get(choice.VARIABLE, "").strip():
        return f"no plugin that {choice.VARIABLE} admits knows {tool}: change it, and try again"
    return f"no installed plugin knows {tool}: pip install raydp-wrap-spark, and try again"


def _sentences(state: State, words: str) -> list[str]:
    return [f"plugin {one.name!r} {words}: {one.problem}" for one in installed().plugins if one.state is state]


def edit_launch(submission: Submission, launch: Launch, tell: Tell = warn, *, limit: float = LIMIT) -> Launch:
    """LAUNCH as the plugins want it: each is given what the one before it made of it."""
    load(tell)
    given: dict[str, object] = {"submission": submission, "launch": launch}
    for result in one_by_one("raydp_wrap_edit_launch", given, limit=limit, shape=answers.launch):
        if result.error:
            tell(result.error)
        elif result.value is not None:
            launch = given["launch"] = result.value
    return launch


def evidence(
    submission: Submission, record: ExitRecord, tell: Tell = warn, *, saved: Saved = NOTHING, limit: float = LIMIT
) -> list[Evidence]:
    """What else the plugins know of the end, by what their watches SAVED; nothing of it ranks above a cluster's."""
    load(tell)
    given: dict[str, object] = {"submission": submission, "record": record}
    results = one_by_one("raydp_wrap_evidence", given, limit=limit, shape=answers.evidence, own=_own(saved))
    return _all_of(results, tell)


def stop_remote(
    submission: Submission,
    record: ExitRecord | None,
    tell: Tell = warn,
    *,
    saved: Saved = NOTHING,
    limit: float = STOP_LIMIT,
) -> None:
    """Have the plugins end what of the attempt runs elsewhere, by what their watches SAVED."""
    load(tell)
    given: dict[str, object] = {"submission": submission, "record": record}
    for result in one_by_one("raydp_wrap_stop_remote", given, limit=limit, own=_own(saved)):
        if result.error:
            tell(result.error)


def _own(saved: Saved) -> Callable[[str], Mapping[str, object]]:
    return lambda plugin: {"saved": dict(saved.get(plugin, {}))}


def _all_of(results: Iterable[Result], tell: Tell) -> list[Any]:
    found: list[Any] = []
    for result in results:
        if result.error:
            tell(result.error)
        else:
            found += result.value
    return found


def event(event: Event, tell: Tell = warn, *, limit: float = EVENT_LIMIT) -> None:
    """Let the plugins know of EVENT."""
    each("raydp_wrap_event", tell=tell, limit=limit, event=event)


def checks(tell: Tell = warn, *, limit: float = CHECKS_LIMIT) -> list[Check]:
    """What the plugins' checks say. One that fails is a Check, too: one that is not well."""
    from raydp_wrap.backend import Check  # noqa: PLC0415 - for doctor only

    load(tell)
    found: list[Check] = []
    for result in one_by_one("raydp_wrap_checks", {}, limit=limit, shape=answers.checks):
        found += [Check(f"plugin {result.plugin}", ok=False, text=result.error)] if result.error else result.value
    return found


def sinks(tell: Tell = warn, *, taken: Collection[str] = (), limit: float = LIMIT) -> dict[str, Callable[[str], Sink]]:
    """By scheme, what makes a sink from the text behind the colon; TAKEN are the schemes of our own.

    What is returned has LIMIT seconds for each sink, and raises nothing but RaydpWrapError. Of the plugin's own
    errors only the kind is told: their words may quote the text, and that may hold a secret.
    """
    from raydp_wrap.backend import Sink  # noqa: PLC0415 - whoever asks has it already

    found = brought("raydp_wrap_sinks", tell, taken=taken)
    return {name: in_time(f"sink {name!r}", one, Sink, limit) for name, one in found.items()}


def backends(tell: Tell = warn, *, taken: Collection[str] = ()) -> dict[str, Callable[[], Backend]]:
    """By name, what makes a backend; TAKEN are the names of our own.

    What is returned raises nothing but RaydpWrapError. It makes the backend in the thread that calls it.
    """
    from raydp_wrap.backend import Backend  # noqa: PLC0415 - whoever asks has it already

    found = brought("raydp_wrap_backends", tell, taken=taken)
    return {name: right_here(f"backend {name!r}", one, Backend) for name, one in found.items()}


def commands(tell: Tell = warn, *, taken: Collection[str] = ()) -> dict[str, Callable[[], click.Command]]:
    """By name, what imports and returns a command; TAKEN are the names of our own.

    What is returned raises nothing but RaydpWrapError. It imports the command in the thread that calls it.
    """
    found = brought("raydp_wrap_commands", tell, taken=taken)
    return {name: _command(name, one) for name, one in found.items()}


def _command(name: str, one: Brought) -> Callable[[], click.Command]:
    def make() -> click.Command:
        import click  # noqa: PLC0415 - whoever calls this has it already

        command: click.Command = right_here(f"command {name!r}", one, click.Command)()
        return command

    return make


def brought(hook: str, tell: Tell = warn, *, taken: Collection[str] = (), limit: float = LIMIT) -> dict[str, Brought]:
    """By name, what the plugins bring through HOOK, which is asked once per process. The first of a name counts."""
    known = load(tell)
    if hook not in known.brought:
        found: dict[str, Brought] = {}
        for result in one_by_one(hook, {}, limit=limit, shape=answers.named):
            if result.error:
                tell(result.error)
                continue
            for name, make in result.value.items():
                if name in found:
                    first = found[name].plugin
                    tell(f"plugin {result.plugin!r} is not heeded in {hook}: {first!r} brings {name!r} already")
                else:
                    found[name] = Brought(result.plugin, make)
        known.brought[hook] = found  # at once: other threads look there, too
    found = known.brought[hook]
    for name in sorted(found.keys() & set(taken)):
        tell(f"plugin {found.pop(name).plugin!r} is not heeded in {hook}: {name!r} is one of raydp-wrap's own")
    return dict(found)

"""Spark's own cluster manager: drivers that a standalone master runs on its workers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from raydp_wrap_spark.cluster import rpc
from raydp_wrap_spark.cluster.clock import Deadline
from raydp_wrap_spark.cluster.driver_states import PREFIX, told
from raydp_wrap_spark.cluster.truth import Told, Truth, TruthUnknownError
from raydp_wrap_spark.cluster.web import request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from raydp_wrap_spark.cluster.place import Place

__all__ = ["Standalone"]

# Of a master that is not there, or a firewall in front of it, the other questions must not suffer.
_MOST_A_MASTER = 2.0
_PAUSE = 0.2


class Standalone(Truth):
    """The masters at PLACE; an application's name is its driver's id there. SECRETS are confs that PLACE withholds."""

    def __init__(self, place: Place, secrets: Mapping[str, str] | None = None) -> None:
        self._place = place
        self._secrets = secrets

    def ask(self, app: str, deadline: Deadline) -> Told:
        """Ask the REST gateways the submitter used; else the masters' web UI, if it proves to be theirs."""
        return self._ask_rest(app, deadline) if self._place.rest else self._ask_ui(app, deadline)

    def end(self, app: str, deadline: Deadline) -> Told:
        """Kill the driver on the way it came, and wait until the master says that it has ended."""
        if not self._place.rest:
            last = rpc.kill(self._place.masters, app, rpc.Client(**self._place.client), deadline, self._secrets)
            with contextlib.suppress(TruthUnknownError):
                return last if last.word else self._ask_ui(app, deadline)
            return last
        self._kill_rest(app, deadline)
        while not (last := self._ask_rest(app, deadline)).ended:
            if not deadline.pause(_PAUSE):
                raise TruthUnknownError(f"asked to kill it, {last.by} still says {last.word}")
        return last

    def _ask_rest(self, app: str, deadline: Deadline) -> Told:
        for by, answer in self._each_gateway("GET", "status", app, deadline):
            if answer.get("success") is True and answer.get("submissionId") == app:
                return told(by, _text(answer.get("driverState")), _text(answer.get("message")))
            raise TruthUnknownError(f"{by} doesn't know it")
        raise AssertionError("unreachable")

    def _kill_rest(self, app: str, deadline: Deadline) -> None:
        # Where it says no, the driver has ended already or was never there; which, its state tells.
        next(iter(self._each_gateway("POST", "kill", app, deadline)))

    def _each_gateway(
        self, method: str, action: str, app: str, deadline: Deadline
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The answers of those masters that are in charge. Raises where none answers."""
        why = []
        for at, master in enumerate(self._place.masters):
            url = f"http://{master}/v1/submissions/{action}/{quote(app, safe='')}"
            by = f"standalone master, REST gateway {master}"
            try:
                answer = request(method, url, _part(deadline, len(self._place.masters) - at)).json()
            except TruthUnknownError as error:
                why.append(f"{by}: {error}")
                continue
            if "not alive" in _text(answer.get("message")):
                why.append(f"{by}: it is not in charge")
                continue
            yield by, answer
        raise TruthUnknownError("; ".join(why) or "no other gateway is in charge")

    def _ask_ui(self, app: str, deadline: Deadline) -> Told:
        why = []
        uis = ([self._place.ui] if self._place.ui else []) + [f"http://{ui}" for ui in self._place.uis]
        for at, ui in enumerate(uis):
            by = f"standalone master, web UI {ui}"
            try:
                answer = request("GET", f"{ui}/json/", _part(deadline, len(uis) - at)).json()
            except TruthUnknownError as error:
                why.append(f"{by}: {error}")
                continue
            if not self._is_theirs(ui, answer):
                why.append(f"{by}: it is another master's")
            elif (word := _state_in(answer, app)) is not None:
                return told(by, word)
            else:
                why.append(f"{by}: it doesn't know the driver")
        raise TruthUnknownError("; ".join(why))

    def _is_theirs(self, ui: str, answer: Mapping[str, Any]) -> bool:
        # Two clusters may give their drivers the same ids, and a port that is usual for one master's UI may be
        # another's. A master's host may have several names.
        url = _text(answer.get("url")).removeprefix(PREFIX)
        if url in self._place.masters:
            return True
        host = urlsplit(ui).hostname
        return any(
            url.rpartition(":")[2] == master.rpartition(":")[2]
            and (ui == self._place.ui or urlsplit(f"//{master}").hostname == host)
            for master in self._place.masters
        )


def _part(deadline: Deadline, among: int) -> Deadline:
    return Deadline(deadline.share(among).left(_MOST_A_MASTER))


def _state_in(answer: Mapping[str, Any], driver: str) -> str | None:
    for drivers in (answer.get("activedrivers"), answer.get("completeddrivers")):
        for one in drivers if isinstance(drivers, list) else ():
            if isinstance(one, dict) and one.get("id") == driver:
                return _text(one.get("state"))
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

"""YARN: applications, by the ResourceManager's REST interface."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from raydp_wrap.model import TerminalState

from raydp_wrap_spark.cluster.truth import Told, Truth, TruthUnknownError
from raydp_wrap_spark.cluster.web import request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydp_wrap_spark.cluster.clock import Deadline
    from raydp_wrap_spark.cluster.web import Reply

__all__ = ["Yarn"]

_STATES = {
    "SUCCEEDED": TerminalState.FINISHED,
    "FAILED": TerminalState.FAILED,
    "KILLED": TerminalState.KILLED,
}
_OVER = frozenset({"FINISHED", "FAILED", "KILLED"})
_APP = re.compile(r"application_\d{1,20}_\d{1,20}")
_MOST_HOPS = 3
_REFRESH = re.compile(r"\s*\d+\s*;\s*url=(.+)", re.IGNORECASE)
_ACCEPTED = frozenset({200, 202})
_UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_PAUSE = 0.3


class Yarn(Truth):
    """The ResourceManagers at RM (URLs; one of them is active), asked as USER."""

    def __init__(self, rm: Sequence[str], *, user: str = "", kerberos: bool = False) -> None:
        self._rm = rm
        self._user = user
        self._kerberos = kerberos

    def ask(self, app: str, deadline: Deadline) -> Told:
        """Return what the active ResourceManager says."""
        by, one = self._active("GET", app, "", None, deadline)
        state, final = _text(one.get("state")), _text(one.get("finalStatus"))
        # Before it is over, the final status is what the application has announced, or nothing.
        over = _STATES.get(final if state == "FINISHED" else state)
        word = final if state == "FINISHED" and final else state
        detail = _text(one.get("diagnostics")) if over is not TerminalState.FINISHED else ""
        return Told(by, word, over or TerminalState.UNKNOWN, detail)

    def end(self, app: str, deadline: Deadline) -> Told:
        """Ask for the state KILLED until the ResourceManager says that it is over."""
        last = self.ask(app, deadline)
        if last.ended:
            return last
        self._active("PUT", app, "/state", json.dumps({"state": "KILLED"}).encode(), deadline)
        while not (last := self.ask(app, deadline)).ended and last.word not in _OVER:
            if not deadline.pause(_PAUSE):
                raise TruthUnknownError(f"asked to kill it, {last.by} still says {last.word}")
        return last

    def _active(
        self, method: str, app: str, what: str, body: bytes | None, deadline: Deadline
    ) -> tuple[str, dict[str, Any]]:
        """Who is active, and what it says of APP; nothing in answer to a wish."""
        if not _APP.fullmatch(app):
            raise TruthUnknownError(f"{app!r} is no application of YARN's")
        why = []
        query = f"?user.name={quote(self._user, safe='')}" if self._user and not self._kerberos else ""
        for at, rm in enumerate(self._rm):
            by = f"YARN ResourceManager {_shown(rm)}"
            try:
                url = f"{rm}/ws/v1/cluster/apps/{app}{what}{query}"
                reply = self._accepted(_hop(method, url, body, deadline.share(len(self._rm) - at)))
                return by, _app_in(reply, app) if method == "GET" else {}
            except TruthUnknownError as error:
                why.append(f"{by}: {error}")
        raise TruthUnknownError("; ".join(why) or "no address of a ResourceManager is known")

    def _accepted(self, reply: Reply) -> Reply:
        if reply.status in _ACCEPTED:
            return reply
        if reply.status == _UNAUTHENTICATED or (reply.status == _FORBIDDEN and self._kerberos):
            raise TruthUnknownError("it wants a Kerberos ticket, which is not supported")
        if reply.status == _FORBIDDEN:
            raise TruthUnknownError(f"it does not permit that to {self._user or 'an unnamed user'}")
        if reply.status == _NOT_FOUND:
            raise TruthUnknownError("it doesn't know the application")
        raise TruthUnknownError(f"it answered with status {reply.status}")


def _app_in(reply: Reply, app: str) -> dict[str, Any]:
    one = reply.json().get("app")
    if not isinstance(one, dict) or one.get("id") != app:
        raise TruthUnknownError("it answered with something else than the application")
    return one


def _hop(method: str, url: str, body: bytes | None, deadline: Deadline) -> Reply:
    """Ask URL, and on where a standby ResourceManager sends us."""
    headers = {"X-XSRF-Header": ""}  # its filter against forged requests asks no more
    if body is not None:
        headers["Content-Type"] = "application/json"
    for _ in range(_MOST_HOPS):
        reply = request(method, url, deadline, body=body, headers=headers)
        refresh = _REFRESH.fullmatch(reply.headers.get("refresh", ""))
        target = refresh[1].strip() if refresh else reply.headers.get("location", "")
        if not target or not (refresh or reply.status // 100 == 3):  # noqa: PLR2004 - a redirect
            return reply
        url = urljoin(url, target)
        if urlsplit(url).scheme not in ("http", "https"):
            break
    raise TruthUnknownError("it sends us on without end")


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

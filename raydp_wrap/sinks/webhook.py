"""``webhook:URL``: the outcome by HTTP POST, identified and signed as the Standard Webhooks have it."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from raydp_wrap import __version__
from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.sinks.secret import read_secret, sign
from raydp_wrap.sinks.shown import redacted

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from raydp_wrap.model import Report

__all__ = ["Webhook"]

SECRET_FILE = "RAYDP_WRAP_WEBHOOK_SECRET_FILE"  # noqa: S105 - where it is, not what

_SECONDS = 10.0
_PARAMETER = "secret-file="


def _split(text: str) -> tuple[SplitResult, str | None]:
    """The URL without its fragment, and the secret file that the fragment names."""
    shown = redacted(f"webhook:{text}")
    if not text.isascii() or not text.isprintable() or set(text) & set(' \\"<>'):
        message = f"the sink {shown} is no URL: percent-encode blanks and whatever is not plain ASCII in it."
        raise UsageError(message)
    text, _, fragment = text.partition("#")
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and url.hostname and url.hostname.encode("idna") and url.port != 0
    except ValueError:  # brackets, ports, a name that no resolver takes
        usable = False
    if not usable:
        raise UsageError(f"the sink {shown} is no URL of a web server: write webhook:https://HOST/PATH.")
    if not fragment:
        return url, None
    path = unquote(fragment.removeprefix(_PARAMETER), errors="surrogateescape")
    if not fragment.startswith(_PARAMETER) or not path or "\0" in path:
        raise UsageError(f"behind the # of the sink {shown} only {_PARAMETER}PATH can stand, the file with its secret.")
    return url, path


class Webhook(Sink):
    """POSTs the outcome to a URL; 2xx is ACCEPTED, 409 DUPLICATE.

    RETRY_AFTER: 408, 425, 429 and 5xx, as long as their Retry-After says (an hour at most); no connection, no
    trusted certificate, no answer within ten seconds or none that is HTTP; a secret that can't be used: it is
    never sent unsigned. REJECTED: every other 4xx, and redirects, which are not followed.

    The secret's file stands behind ``#secret-file=`` or in ``$RAYDP_WRAP_WEBHOOK_SECRET_FILE``, which is read in
    :meth:`check` only: :attr:`text` carries it to processes with another environment. A fragment is never sent.

    Raises:
        UsageError: it is no http(s) URL.

    """

    def __init__(self, url: str) -> None:
        self._url, self._secret_file = _split(url)
        self._seconds = _SECONDS

    @property
    def text(self) -> str | None:
        """The URL with its secret's file, absolute."""
        if self._secret_file is None:
            return None
        return f"{self._url.geturl()}#{_PARAMETER}{quote(os.fsencode(self._secret_file))}"

    def check(self) -> None:
        """See that the secret is there, and nobody else's to read."""
        path = self._secret_file or os.environ.get(SECRET_FILE)
        if path:
            try:
                self._secret_file = os.path.abspath(path)
            except OSError as error:
                raise UsageError(f"where {path} is can't be told ({error.strerror}): name it from the root.") from error
            read_secret(self._secret_file)

    def deliver(self, report: Report) -> Answer:
        """POST it; see the class for what the answers mean."""
        from raydp_wrap.sinks.document import portable  # noqa: PLC0415 - in the process that sends, not in the owner
        from raydp_wrap.sinks.exchange import post  # noqa: PLC0415 - the same: 40 ms

        body = portable(report.outcome)
        try:
            headers = self._headers(report, body)
        except UsageError as error:
            return Answer(Verdict.RETRY_AFTER, str(error))
        host = self._url.netloc.rpartition("@")[2]
        url = self._url._replace(netloc=host).geturl()
        return post(url, body, headers, seconds=self._seconds, secrets=self._secrets())

    def _headers(self, report: Report, body: bytes) -> dict[str, str]:
        # A header takes neither newlines nor more than ASCII.
        identity = quote(report.key, safe="/:@+=,~", errors="replace")
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"raydp-wrap/{__version__}",
            "Idempotency-Key": identity,
            "webhook-id": identity,
            "webhook-timestamp": timestamp,
        }
        if self._secret_file is not None:
            headers["webhook-signature"] = sign(read_secret(self._secret_file), identity, timestamp, body)
        user, password = self._url.username, self._url.password
        if user is not None or password is not None:
            pair = f"{unquote(user or '')}:{unquote(password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _secrets(self) -> list[str]:
        """What an answer might echo of the URL: many hooks are known by their path alone."""
        url = self._url
        raw = [url.path, url.query, url.username or "", url.password or "", *url.path.split("/")]
        raw += [pair.rpartition("=")[2] for pair in url.query.split("&")]
        return [*raw, *map(unquote, raw)]

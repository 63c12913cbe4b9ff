"""The secret that signs webhooks: only ever from a file that nobody else can read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat

from raydp_wrap.errors import UsageError
from raydp_wrap.sinks.shown import printable

__all__ = ["read_secret", "sign"]

_PREFIX = b"whsec_"
_OTHERS = 0o077
_MOST = 4096


def read_secret(path: str) -> bytes:
    """The key in the file PATH: ``whsec_`` and base64, as the Standard Webhooks write it, or the bytes themselves.

    One newline at the end does not count.

    Raises:
        UsageError: it can't be read, holds no key, or others can read it too.

    """
    shown = printable(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "no such name"
        raise UsageError(f"the webhook's secret can't be read from {shown} ({why}): name a file with it.") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"the webhook's secret {shown} is not a file: name a file with it.")
        if found.st_mode & _OTHERS:
            raise UsageError(f"the webhook's secret {shown} can be read by others: chmod 600 it.")
        data = os.read(fd, _MOST + 2)
    except OSError as error:
        raise UsageError(
            f"the webhook's secret {shown} can't be read ({error.strerror}): name another file."
        ) from error
    finally:
        os.close(fd)
    data = data.removesuffix(b"\n")
    if len(data) > _MOST:
        raise UsageError(f"the webhook's secret {shown} is longer than {_MOST} bytes: name a file with it alone.")
    if data.startswith(_PREFIX):
        data = _decoded(data[len(_PREFIX) :].strip(), shown)
    if not data:
        raise UsageError(f"the webhook's secret {shown} is empty: put a key of at least 24 bytes there.")
    return data


def _decoded(text: bytes, shown: str) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        message = f"the webhook's secret {shown} is no base64 behind whsec_: write it as the receiver gave it."
        raise UsageError(message) from error


def sign(secret: bytes, identity: str, timestamp: str, body: bytes) -> str:
    """The value of ``webhook-signature``: Standard Webhooks, symmetric scheme."""
    digest = hmac.new(secret, b".".join((identity.encode(), timestamp.encode(), body)), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"

"""What a person reads of a failure: short, without secrets, and safe to show on a terminal."""

from __future__ import annotations

from raydp_wrap.diagnostics.reading import tail
from raydp_wrap.diagnostics.text import bounded

__all__ = ["bounded", "redact", "summary", "tail"]

# The patterns behind these two take longer to compile than a short command takes to run, and a success needs neither.


def redact(text: str) -> str:
    """TEXT with ``***`` for the values of passwords, tokens, secrets, credentials and keys.

    Line by line: the number of lines stays. Redacted text stays as it is. The time is linear.
    """
    from raydp_wrap.diagnostics import redaction  # noqa: PLC0415 - see above

    return redaction.redact(text)


def summary(output: bytes) -> str:
    """The first exception in OUTPUT, with its root cause, on a line of its own; then the last 50 lines.

    OUTPUT is the end of what a driver wrote, of which the last MiB is looked at. Secrets are redacted, and
    the text is bounded and escaped as by :func:`bounded`. Empty when there is nothing to show.
    """
    from raydp_wrap.diagnostics import summarising  # noqa: PLC0415 - see above

    return summarising.summary(output)

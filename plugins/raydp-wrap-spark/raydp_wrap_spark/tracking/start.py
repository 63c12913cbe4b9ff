"""From a SparkSession to what is tracked of it."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

import raydp_wrap
from raydp_wrap import settings

from raydp_wrap_spark.tracking.application import TrackedApplication
from raydp_wrap_spark.tracking.context import context_of, settings_of
from raydp_wrap_spark.tracking.outside import TrackedOutside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["track"]

_MARK: Final = "RAYDP_WRAP_ATTEMPT_ID"
# Before which a comma in a conf separates; a newline always does.
_SINKS: Final = ("file", "webhook", "exec", "ray", "kubernetes")

_logger = logging.getLogger("raydp_wrap")
_starting = threading.Lock()
_applications: list[TrackedApplication] = []


def _log(text: str) -> None:
    _logger.warning("%s", text)


def track(
    spark: object,
    *,
    name: str | None = None,
    sinks: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    report_timeout: float | None = None,
    tell: Callable[[str], None] = _log,
) -> TrackedApplication | TrackedOutside:
    """Track the application of SPARK, a SparkSession or SparkContext, and tell SINKS, once, how it ends.

    ::

        spark = SparkSession.builder.getOrCreate()
        raydp_wrap_spark.track(spark, sinks=["webhook:https://example.org/jobs"])
        ...
        spark.stop()  # told here

    Without a stop it is told when the script ends, by its exit code, or when the process or the JVM dies. As a
    ``with`` block it is the block that counts: what happens after the stop in it, too. The application id is known;
    NAME is the application's unless given. The sinks of ``spark.raydp.wrap.sinks`` and RAYDP_WRAP_SINKS are told as
    well, and REPORT_TIMEOUT is, unless given, as set by those means.

    What is tracked already is returned again, whatever else is asked for. Under raydp-submit, or another command of
    raydp-wrap's, that one reports, to its own sinks, and a :class:`TrackedOutside` is returned.

    Raises:
        UsageError: SPARK is neither, is stopped, or is a Spark Connect session; and as :func:`raydp_wrap.track`.
        StoreError, StartError: as :func:`raydp_wrap.track`.

    """
    context = context_of(spark)
    sinks = list(sinks)
    outside = os.environ.get(_MARK)
    if outside:
        if sinks:
            # No warning: what Python has to say on stderr, spark-submit's JVM puts on stdout.
            _logger.info("the raydp-wrap that this application runs under reports it, as %s: its sinks count.", outside)
        return TrackedOutside(outside)
    with _starting:
        _applications[:] = [application for application in _applications if application.watching]
        for application in _applications:
            if application.context is context:
                return application
            application.superseded()
        own = settings_of(context)
        if report_timeout is None:
            report_timeout = settings.report_timeout(os.environ, own)
        tracked = raydp_wrap.track(
            name or context.appName,
            sinks=[*sinks, *settings.sink_texts(os.environ, own, _SINKS)],
            tags=tags,
            report_timeout=report_timeout,
            tell=tell,
        )
        try:
            tracked.bind(context.applicationId)
            application = TrackedApplication(context, tracked, tell)
        except BaseException as error:
            tracked.end_by(error)
            raise
        _applications.append(application)
        return application

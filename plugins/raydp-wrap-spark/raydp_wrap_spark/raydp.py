"""raydp-submit: RayDP's command line. With any master but ``ray`` it is spark-submit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError

from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.errors import SubmitEndedError
from raydp_wrap_spark.options import Options
from raydp_wrap_spark.properties import configured
from raydp_wrap_spark.submit import launch_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap.model import Launch

__all__ = ["raydp_submit"]

_USAGE = """\
Usage: raydp-submit [--ray-conf FILE] [options] <application> [application arguments]
       raydp-submit help

  --ray-conf FILE   Ray's configuration; must come first, and is not used unless the master is ray.
  options           those of spark-submit (raydp-submit --help lists them); the master is ray unless
                    --master, spark.master or spark-defaults.conf says otherwise.
"""


def raydp_submit(argv: Sequence[str], env: Mapping[str, str]) -> Launch:
    """Return what ``raydp-submit ARGV`` executes in ENV.

    Raises:
        UsageError: the master is ray, or ``--ray-conf`` is wrong; and as ``spark_submit``.
        SubmitEndedError: the usage was asked for (0) or is needed (1), and has been printed.

    """
    if argv and argv[0] == "help":
        sys.stdout.write(_USAGE)
        raise SubmitEndedError(0)
    arguments = _after_ray_conf(argv)
    if not arguments:
        sys.stderr.write(_USAGE)
        raise SubmitEndedError(1)
    options = Options(arguments)
    master = options.master
    if master == "ray":
        raise _needs_raydp()
    full = spark_environment(arguments, env)
    if (
        master is None
        and not options.wants_no_master
        and configured(options, full).get("spark.master") in (None, "ray")
    ):
        raise _needs_raydp()
    return launch_in(full, arguments)


def _needs_raydp() -> UsageError:
    return UsageError(
        "the master is ray, which this version can't start yet: name another, such as --master 'local[*]'."
    )


def _after_ray_conf(argv: Sequence[str]) -> Sequence[str]:
    if not argv or argv[0] != "--ray-conf":
        return argv
    if len(argv) == 1:
        raise UsageError("--ray-conf needs a file: raydp-submit --ray-conf FILE [options] <application>.")
    if not Path(argv[1]).is_file():
        raise UsageError(f"--ray-conf: there is no file {argv[1]!r}.")
    return argv[2:]

"""raydp-submit: RayDP's command line. With any master but ``ray`` it is spark-submit."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError
from raydp_wrap.model import Launch

from raydp_wrap_spark.environment import spark_environment
from raydp_wrap_spark.errors import RaydpNotFoundError, SparkNotFoundError, SubmitEndedError
from raydp_wrap_spark.java import find_java
from raydp_wrap_spark.options import Options
from raydp_wrap_spark.properties import configured
from raydp_wrap_spark.raydp.command import Request, driver_command, driver_environment
from raydp_wrap_spark.raydp.installation import check_spark, find_installation
from raydp_wrap_spark.settings import checked
from raydp_wrap_spark.submit import launch_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap_spark.raydp.installation import Installation

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
        RaydpNotFoundError: the master is ray, and RayDP or Ray is missing.
        UsageError: ``--ray-conf`` or the deploy mode is wrong, or RayDP can't use this Spark; and as ``spark_submit``.
        SubmitEndedError: the usage was asked for (0) or is needed (1), and has been printed.

    """
    if argv and argv[0] == "help":
        # Past sys.stdout, which is put aside while a plugin runs.
        with os.fdopen(1, "wb", closefd=False) as stdout:
            stdout.write(_USAGE.encode())
        raise SubmitEndedError(0)
    ray_conf, arguments = _ray_conf(argv)
    if not arguments:
        sys.stderr.write(_USAGE)
        raise SubmitEndedError(1)
    options = Options(arguments)
    if options.wants_no_master or options.master not in (None, "ray"):
        return launch_in(spark_environment(arguments, env), arguments)
    installation = find_installation(env)
    full = _environment(arguments, env, installation, wants_ray=options.master == "ray")
    confs = {**configured(options, full), **options.confs}
    if options.master is None and confs.get("spark.master", "ray") != "ray":
        return launch_in(full, arguments)
    if installation is None:
        raise RaydpNotFoundError
    check_spark(installation, full["SPARK_HOME"])
    request = Request(tuple(arguments), options, confs, full, ray_conf)
    _refuse_cluster_mode(request)
    java = find_java(full)
    return Launch(
        tuple(driver_command(java, installation, request)),
        executable=java,
        env=driver_environment(request),
        settings=checked(options, full),
        name=options.name,
    )


def _environment(
    arguments: Sequence[str], env: Mapping[str, str], installation: Installation | None, *, wants_ray: bool
) -> dict[str, str]:
    if installation is not None:
        return spark_environment(arguments, {**env, **installation.variables})
    if wants_ray:
        raise RaydpNotFoundError
    try:
        return spark_environment(arguments, env)
    except SparkNotFoundError as error:
        if env.get("SPARK_HOME"):
            raise
        # RayDP brings the Spark it needs.
        raise RaydpNotFoundError from error


def _refuse_cluster_mode(request: Request) -> None:
    asked = (request.options.deploy_mode, request.confs.get("spark.submit.deployMode"), request.env.get("DEPLOY_MODE"))
    if next((mode for mode in asked if mode), "client") != "client":
        raise UsageError(
            "the deploy mode is cluster, and RayDP runs the driver here: leave it out, or say --deploy-mode client; "
            "or have Ray run raydp-submit itself (ray job submit)."
        )


def _ray_conf(argv: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    if not argv or argv[0] != "--ray-conf":
        return None, argv
    if len(argv) == 1:
        raise UsageError("--ray-conf needs a file: raydp-submit --ray-conf FILE [options] <application>.")
    if not Path(argv[1]).is_file():
        raise UsageError(f"--ray-conf: there is no file {argv[1]!r}.")
    return argv[1], argv[2:]

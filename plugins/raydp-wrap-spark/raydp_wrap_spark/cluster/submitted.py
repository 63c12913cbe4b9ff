"""What a launch submits, and where: read from the command that runs SparkSubmit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydp_wrap_spark.names import MAIN_CLASS
from raydp_wrap_spark.options import Options
from raydp_wrap_spark.properties import configured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap.model import Launch

__all__ = ["Submitted", "submitted"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """An application on its way to MASTER. ``java`` is the command in front of SparkSubmit's own arguments."""

    master: str
    deploy_mode: str
    confs: Mapping[str, str]
    options: Options
    env: Mapping[str, str]
    java: Sequence[str]

    def flag(self, conf: str, *, default: bool) -> bool:
        """Whether CONF is true."""
        text = self.confs.get(conf, "").strip().lower()
        return default if text not in ("true", "false") else text == "true"


def submitted(launch: Launch) -> Submitted | None:
    """Return what LAUNCH submits; None where it submits nothing (``--status``, ``--version``, another program)."""
    if MAIN_CLASS not in launch.argv:
        return None
    start = launch.argv.index(MAIN_CLASS)
    options = Options(launch.argv[start + 1 :])
    if options.resource is None or options.wants_no_master or any(map(options.has, ("--status", "--kill"))):
        return None
    env = os.environ if launch.env is None else launch.env
    confs = {**(configured(options, env) if _knows_spark(env) else {}), **options.confs}
    master = options.master or confs.get("spark.master") or env.get("MASTER") or ""
    mode = options.deploy_mode or confs.get("spark.submit.deployMode") or env.get("DEPLOY_MODE") or "client"
    return Submitted(master, mode, confs, options, env, launch.argv[:start])


def _knows_spark(env: Mapping[str, str]) -> bool:
    return bool(env.get("SPARK_CONF_DIR") or env.get("SPARK_HOME"))

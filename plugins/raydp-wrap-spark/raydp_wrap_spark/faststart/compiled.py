"""The application's Python starts faster: what it compiles of Spark's zip files is kept, and not compiled again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.errors import UsageError

from raydp_wrap_spark.faststart.place import create, place
from raydp_wrap_spark.properties import configured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.options import Options

__all__ = ["START", "with_compiled"]

#: On the path of the application's Python, which reads the ``sitecustomize`` in there.
START = str(Path(__file__).parent / "python_start")
_MOST = 4096


def with_compiled(env: Mapping[str, str], options: Options) -> dict[str, str]:
    """ENV, by which the Python of OPTIONS' application keeps what it compiles; as it was, where that isn't right."""
    # YARN and Kubernetes have PYTHONPATH go with the application, to machines that know no such directory.
    master = options.master or configured(options, env).get("spark.master") or env.get("MASTER") or "local"
    if not master.startswith("local") or not (options.resource or "").endswith(".py"):
        return dict(env)
    try:
        directory = place(env, "python")
        create(directory)
        _make_room(directory)
    except (OSError, UsageError):
        return dict(env)
    return {**env, "PYTHONPATH": ":".join(filter(None, (START, env.get("PYTHONPATH"))))}


def _make_room(directory: Path) -> None:
    # Some hundred files per Python and Spark: with this many, most are of those that are gone.
    names = os.listdir(directory)
    if len(names) > _MOST:
        for name in names:
            os.unlink(directory / name)

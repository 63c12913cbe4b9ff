"""What Spark's properties files say, as far as it concerns us before Spark reads them itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.options import Options

__all__ = ["configured", "wrapper_settings"]

_OURS = "spark.raydp.wrap."
# In a Java properties file: the name, then "=", ":" or white space, then the value.
_LINE = re.compile(
    r"^[ \t\f]*(spark\.[^\s=:]+)(?:[ \t\f]*[=:][ \t\f]*|[ \t\f]+)(\S.*?)[ \t\r]*$",
    re.MULTILINE,
)


def configured(options: Options, env: Mapping[str, str]) -> dict[str, str]:
    """Return what ``--properties-file`` or spark-defaults.conf sets, in ENV with Spark's; of one name the last."""
    conf_dir = env.get("SPARK_CONF_DIR") or f"{env['SPARK_HOME']}/conf"
    named = options.properties_file
    files = [Path(conf_dir, "spark-defaults.conf")] if not named or options.loads_defaults else []
    if named:
        files.append(Path(named))
    found: dict[str, str] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # spark-submit itself says what is wrong with a properties file
        found.update(_LINE.findall(text))
    return found


def wrapper_settings(options: Options, env: Mapping[str, str]) -> dict[str, str]:
    """Our own settings by their names behind ``spark.raydp.wrap.``; the command line's before the files'."""
    both = {**configured(options, env), **options.confs}
    return {name[len(_OURS) :]: value.strip() for name, value in both.items() if name.startswith(_OURS)}

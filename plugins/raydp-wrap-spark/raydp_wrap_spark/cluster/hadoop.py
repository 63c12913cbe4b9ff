"""Where YARN's ResourceManager is, by Hadoop's configuration files."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raydp_wrap_spark.cluster.submitted import Submitted

__all__ = ["properties", "resource_manager"]

_REFERENCE = re.compile(r"\$\{([^}$\s]+)\}")
_DEEPEST = 20
_LONGEST = 4096
_HTTP, _HTTPS = ("webapp.address", "8088"), ("webapp.https.address", "8090")
_RM = "yarn.resourcemanager"


def resource_manager(what: Submitted) -> dict[str, Any]:
    """Return how to ask the ResourceManager that WHAT is submitted to, as JSON values.

    ``rm`` are URLs, several where it is highly available; ``user`` is whom it takes us for; ``kerberos`` whether it
    wants a ticket.
    """
    found = properties(what.env, what.confs)
    user = what.options.value("--proxy-user") or what.env.get("HADOOP_USER_NAME") or _login()
    kerberos = found.get("hadoop.security.authentication", "simple") != "simple"
    return {"rm": _addresses(found), "user": user, "kerberos": kerberos}


def properties(env: Mapping[str, str], confs: Mapping[str, str]) -> dict[str, str]:
    """Return Hadoop's properties as a Spark application in ENV with CONFS has them, references resolved."""
    raw: dict[str, str] = {}
    for name in ("core-site.xml", "yarn-site.xml"):
        # Both directories are on the class path, where the first file of a name is the only one.
        places = (Path(env[where], name) for where in ("HADOOP_CONF_DIR", "YARN_CONF_DIR") if env.get(where))
        raw.update(next((_read(place) for place in places if place.is_file()), {}))
    raw.update({name[len("spark.hadoop.") :]: text for name, text in confs.items() if name.startswith("spark.hadoop.")})
    return {name: _resolved(text, raw, env) for name, text in raw.items()}


def _read(file: Path) -> dict[str, str]:
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - the user's own configuration
    except (OSError, ET.ParseError):
        return {}  # Hadoop itself says what is wrong with it
    return {
        name: (one.findtext("value") or "").strip()
        for one in root.iter("property")
        if (name := (one.findtext("name") or "").strip())
    }


def _resolved(text: str, raw: Mapping[str, str], env: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("env."):
            variable, _, default = name[len("env.") :].partition(":-")
            return env.get(variable) or default
        return raw.get(name, match[0])

    for _ in range(_DEEPEST):
        new = _REFERENCE.sub(value, text)
        if new == text or len(new) > _LONGEST:
            break
        text = new
    return text


def _addresses(found: Mapping[str, str]) -> list[str]:
    scheme, (name, port) = ("https", _HTTPS) if found.get("yarn.http.policy") == "HTTPS_ONLY" else ("http", _HTTP)
    ids = [one.strip() for one in found.get(f"{_RM}.ha.rm-ids", "").split(",") if one.strip()]
    if found.get(f"{_RM}.ha.enabled", "false").lower() != "true" or not ids:
        ids = [""]
    addresses = []
    for one in ids:
        end = f".{one}" if one else ""
        host = found.get(f"{_RM}.hostname{end}") or found.get(f"{_RM}.hostname") or "0.0.0.0"  # noqa: S104 - Hadoop's
        address = found.get(f"{_RM}.{name}{end}") or f"{host}:{port}"
        if ":" not in address.rpartition("]")[2]:
            address = f"{address}:{port}"
        addresses.append(f"{scheme}://{re.sub(r'^0[.]0[.]0[.]0:', '127.0.0.1:', address)}")
    return addresses


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())

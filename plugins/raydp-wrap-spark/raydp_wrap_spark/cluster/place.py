"""Where a driver was submitted to a standalone cluster, in a form that outlives its owner."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from raydp_wrap.settings import setting

from raydp_wrap_spark.cluster.driver_states import PREFIX
from raydp_wrap_spark.cluster.rpc import client_of

if TYPE_CHECKING:
    from raydp_wrap.model import Launch

    from raydp_wrap_spark.cluster.submitted import Submitted

__all__ = ["Place", "place_of"]

_UI_PORT = "8080"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a driver was submitted, as JSON values. ``masters`` and ``uis`` are ``host:port``, ``ui`` is a URL.

    ``rest``: the masters are REST gateways, not the masters' own ports. ``ui`` is the master's web UI as the user
    named it; ``uis`` is where it is usually found. ``client`` runs Spark's client.
    """

    masters: list[str]
    uis: list[str] = field(default_factory=list)
    ui: str = ""
    rest: bool = False
    client: dict[str, Any] = field(default_factory=dict)


def place_of(what: Submitted, launch: Launch) -> Place:
    """Return where LAUNCH submits WHAT to, as long as nobody knows through which gateway."""
    masters = [part for part in what.master.removeprefix(PREFIX).split(",") if part]
    port = what.confs.get("spark.master.ui.port") or what.env.get("SPARK_MASTER_WEBUI_PORT") or _UI_PORT
    ui = setting("cluster.ui", what.env, launch.settings)
    return Place(
        masters=masters,
        uis=list(dict.fromkeys(f"{master.rpartition(':')[0]}:{port}" for master in masters)),
        ui=ui[0].rstrip("/") if ui else "",
        client=asdict(client_of(what)),
    )

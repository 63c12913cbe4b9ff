"""The address of this machine, as Ray finds it for a node that was given none."""

from __future__ import annotations

import socket

__all__ = ["node_address"]

# Connecting a datagram socket sends nothing: it asks the kernel for the route, and so for the address.
_OUTSIDE = ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2001:4860:4860::8888"))
_DNS = 53


def node_address() -> str:
    """Return the address of the interface that leads outside, else the host name's, else 127.0.0.1."""
    for family, outside in _OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((outside, _DNS))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"

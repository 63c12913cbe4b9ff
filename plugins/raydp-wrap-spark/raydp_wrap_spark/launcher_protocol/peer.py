"""Whose connection it is: the process at the other end of a TCP connection on this machine."""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["belongs_to"]

_LOCAL, _REMOTE, _INODE = 1, 2, 9
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


def belongs_to(pid: int, peer_port: int, own_port: int) -> bool | None:
    """Whether process PID holds the other end of the connection from PEER_PORT to OWN_PORT; None: can't be told.

    Read from /proc. A Java socket for IPv4 is one of IPv6 there.
    """
    try:
        inodes = {inode for table in ("tcp", "tcp6") for inode in _inodes(table, peer_port, own_port)}
        held = {match[1] for link in _links(pid) if (match := _SOCKET.fullmatch(link))}
    except OSError:
        return None
    return bool(inodes & held) if inodes and held else None


def _inodes(table: str, local: int, remote: int) -> list[str]:
    ends = f":{local:04X}", f":{remote:04X}"
    try:
        with open(f"/proc/net/{table}", encoding="ascii") as file:
            rows = [row.split() for row in file]
    except FileNotFoundError:
        return []
    return [row[_INODE] for row in rows if row[_LOCAL].endswith(ends[0]) and row[_REMOTE].endswith(ends[1])]


def _links(pid: int) -> list[str]:
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue  # closed meanwhile
    return links

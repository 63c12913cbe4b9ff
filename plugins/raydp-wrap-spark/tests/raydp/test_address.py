from __future__ import annotations

import ipaddress
import socket

import pytest

from raydp_wrap_spark.raydp.address import node_address


def test_it_is_an_address_of_this_machine():
    address = ipaddress.ip_address(node_address())
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as own:
        own.bind((str(address), 0))


@pytest.mark.parametrize(("name_resolves", "expected"), [(True, "192.0.2.9"), (False, "127.0.0.1")])
def test_without_a_route_the_host_name_tells(monkeypatch, name_resolves, expected):
    def unreachable(*_args):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "gethostbyname", (lambda _: "192.0.2.9") if name_resolves else unreachable)
    assert node_address() == expected

"""The listener: who counts, who is shown the door, and that nobody keeps it busy."""

from __future__ import annotations

import os
import resource
import select
import socket
import subprocess
import sys

import pytest

from raydp_wrap_spark.launcher_protocol import server as server_module
from raydp_wrap_spark.launcher_protocol.messages import AppState, Hello, SetAppId, SetState, stop_request
from raydp_wrap_spark.launcher_protocol.server import Disconnected, LauncherServer

WITHIN = 10.0


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    made = LauncherServer(clock)
    yield made
    made.close()


def heard(server, count=1):
    """What the server says next, COUNT messages at least."""
    found = []
    while len(found) < count:
        assert select.select([server], [], [], WITHIN)[0], f"nothing but {found}"
        found += server.read()
    return found


def settle(server):
    """Let the server do what there is to do now; it must say nothing."""
    assert select.select([server], [], [], WITHIN)[0]
    assert server.read() == []


@pytest.mark.requirement("launcher-2")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_driver_is_heard(server, connect, family):
    try:
        driver = connect(server.port, family)
    except OSError:
        assert family == socket.AF_INET6, "IPv4 must work"
        pytest.skip("no IPv6 here")
    driver.send("Hello", server.secret, "4.3.0")
    assert heard(server) == [Hello(server.secret, "4.3.0")]
    driver.send("SetAppId", "app-1")
    driver.send("SetState", "RUNNING")
    assert heard(server, 2) == [SetAppId("app-1"), SetState(AppState.RUNNING)]
    assert server.connected
    driver.send("SetState", "FINISHED")
    driver.socket.close()
    assert heard(server, 2) == [SetState(AppState.FINISHED), Disconnected()]
    assert not server.connected


@pytest.mark.requirement("launcher-2")
def test_it_listens_to_this_machine_only(server):
    for fd in server.listeners:
        with socket.socket(fileno=os.dup(fd)) as listener:
            assert listener.getsockname()[0] in ("127.0.0.1", "::1")


@pytest.mark.requirement("launcher-2")
@pytest.mark.parametrize("secret", ["", "0" * 64, "geheim \u00fc"])
def test_a_wrong_secret_is_shown_the_door(server, connect, secret):
    stranger = connect(server.port)
    stranger.send("Hello", secret, "4.3.0")
    stranger.send("SetAppId", "app-1")
    settle(server)
    assert stranger.closed()
    assert not server.connected


def test_every_attempt_has_a_secret_of_its_own(server):
    with LauncherServer() as other:
        assert len({server.secret, other.secret}) == 2


@pytest.mark.requirement("launcher-2")
def test_hello_comes_first(server, connect):
    stranger = connect(server.port)
    stranger.send("SetAppId", "app-1")
    settle(server)
    assert stranger.closed()


@pytest.mark.requirement("launcher-2")
def test_hello_comes_in_time(server, connect, clock):
    stranger = connect(server.port)
    stranger.socket.sendall(bytes.fromhex("aced"))
    settle(server)
    assert server.deadline() == 110.0
    clock.now = 109.9
    assert server.read() == []
    assert server.deadline() == 110.0
    clock.now = 110.0
    assert server.read() == []
    assert server.deadline() is None
    assert stranger.closed()


@pytest.mark.requirement("launcher-2")
def test_nonsense_closes_its_own_connection_only(server, connect):
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    heard(server)
    stranger = connect(server.port)
    stranger.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    settle(server)
    assert stranger.closed()
    driver.send("SetAppId", "app-1")
    assert heard(server) == [SetAppId("app-1")]


@pytest.mark.requirement("launcher-2")
def test_a_driver_that_talks_nonsense_is_gone(server, connect):
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    heard(server)
    driver.socket.sendall(b"nonsense")
    assert heard(server) == [Disconnected()]
    assert driver.closed()


@pytest.mark.requirement("launcher-2")
def test_many_that_wait_do_not_keep_the_driver_out(server, connect):
    strangers = [connect(server.port) for _ in range(30)]
    settle(server)
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    assert heard(server) == [Hello(server.secret, "4.3.0")]
    assert sum(select.select([stranger.socket], [], [], 0)[0] != [] for stranger in strangers) >= 22


@pytest.mark.requirement("launcher-2")
def test_without_descriptors_it_goes_on_with_the_driver_it_has(server, connect):
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    heard(server)
    connect(server.port)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        settle(server)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    # It is not woken for what it can't accept.
    assert not select.select([server], [], [], 0)[0]
    driver.send("SetAppId", "app-1")
    assert heard(server) == [SetAppId("app-1")]


@pytest.mark.requirement("launcher-2")
def test_one_driver_counts_at_a_time(server, connect):
    first, second = connect(server.port), connect(server.port)
    first.send("Hello", server.secret, "4.3.0")
    heard(server)
    second.send("Hello", server.secret, "4.3.0")
    second.send("SetAppId", "app-2")
    settle(server)
    assert second.closed()
    first.send("SetAppId", "app-1")
    assert heard(server) == [SetAppId("app-1")]


@pytest.mark.requirement("launcher-2")
def test_the_next_spark_context_counts_after_the_first(server, connect):
    """Also where the end of one and the beginning of the other are seen at the same time."""
    first = connect(server.port)
    first.send("Hello", server.secret, "4.3.0")
    heard(server)
    first.send("SetState", "FINISHED")
    first.socket.close()
    second = connect(server.port)
    second.send("Hello", server.secret, "4.3.0")
    second.send("SetAppId", "app-2")
    hello = Hello(server.secret, "4.3.0")
    assert heard(server, 4) == [SetState(AppState.FINISHED), Disconnected(), hello, SetAppId("app-2")]


@pytest.mark.requirement("launcher-2")
def test_a_spark_context_that_ends_while_the_next_one_is_let_in(server, connect, monkeypatch):
    first = connect(server.port)
    first.send("Hello", server.secret, "4.3.0")
    heard(server)
    second = connect(server.port)
    accept = server._accept

    def late(listener):
        first.socket.close()
        second.send("Hello", server.secret, "4.3.0")
        return accept(listener)

    monkeypatch.setattr(server, "_accept", late)
    assert heard(server, 2) == [Disconnected(), Hello(server.secret, "4.3.0")]


@pytest.mark.requirement("launcher-2")
def test_a_job_that_the_application_starts_is_not_the_application(server, connect, make_speaker):
    """It inherits the secret."""
    server.driver_pid = os.getpid()
    program = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); "
    program += "s.sendall(bytes.fromhex(sys.argv[2])); sys.exit(s.recv(1) != b'')"
    hello = make_speaker().say("Hello", server.secret, "4.3.0").hex()
    with subprocess.Popen([sys.executable, "-c", program, str(server.port), hello]) as nested:
        while nested.poll() is None:
            select.select([server], [], [], 0.05)
            assert server.read() == []
    assert nested.returncode == 0
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    assert heard(server) == [Hello(server.secret, "4.3.0")]


@pytest.mark.requirement("launcher-2")
def test_who_can_not_be_looked_up_counts(server, connect):
    server.driver_pid = 2**22 + 1  # beyond every pid
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    assert heard(server) == [Hello(server.secret, "4.3.0")]


@pytest.mark.requirement("launcher-3")
def test_the_driver_is_asked_to_stop(server, connect):
    assert not server.ask_to_stop()
    driver = connect(server.port)
    driver.send("Hello", server.secret, "4.3.0")
    heard(server)
    assert server.ask_to_stop()
    expected = stop_request()
    got = b""
    while len(got) < len(expected):
        got += driver.socket.recv(len(expected))
    assert got == expected


@pytest.mark.requirement("launcher-4")
def test_a_firewall_on_loopback_is_found_out(monkeypatch):
    """A driver whose connection is refused, or hangs, would fail."""
    monkeypatch.setattr(server_module, "_PROBE_WITHIN", 0.05)
    real = socket.socket.listen
    monkeypatch.setattr(socket.socket, "listen", lambda *_: None)
    with pytest.raises(ConnectionRefusedError):
        LauncherServer()
    monkeypatch.setattr(socket.socket, "listen", real)
    LauncherServer().close()


@pytest.mark.requirement("launcher-4")
def test_a_port_that_is_taken_for_ipv6_is_not_used(monkeypatch):
    """Else a JVM that prefers IPv6 would speak to a stranger."""
    real, tried = server_module._listener, []

    def listener(family, address, port):
        if family == socket.AF_INET6:
            tried.append(port)
            if len(tried) == 1:
                raise OSError(98, "in use")
        return real(family, address, port)

    monkeypatch.setattr(server_module, "_listener", listener)
    with LauncherServer() as server:
        assert len(tried) == 2
        assert server.port == tried[1]

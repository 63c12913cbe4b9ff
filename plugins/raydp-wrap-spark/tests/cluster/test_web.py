from __future__ import annotations

import contextlib
import socket
import time

import pytest

from raydp_wrap_spark.cluster.clock import Deadline
from raydp_wrap_spark.cluster.truth import TruthUnknownError
from raydp_wrap_spark.cluster.web import request

LONG = 60.0


@pytest.fixture
def server(stand_in):
    return stand_in()


def test_what_is_asked_and_answered(server):
    server.says("PUT", "/a", (202, {"X-One": "1"}, {"b": 2}))
    reply = request("PUT", f"{server.url}/a?c=d", Deadline(LONG), body=b"e", headers={"X-Two": "2"})
    assert (reply.status, reply.headers["x-one"], reply.json()) == (202, "1", {"b": 2})
    method, path, body, headers = server.asked[0]
    assert (method, path, body, headers["X-Two"]) == ("PUT", "/a?c=d", b"e", "2")


def endless_header(handler):
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.01)


def trickling_body(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    endless_header(handler)


def endless_body(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"x" * 65536)


def silence(handler):
    with contextlib.suppress(OSError):
        handler.rfile.read(1)


@pytest.mark.requirement("cluster-http-bounds")
@pytest.mark.parametrize("answer", [endless_header, trickling_body, silence])
def test_the_deadline_is_for_all_of_it(server, answer):
    server.says("GET", "/", answer)
    with pytest.raises(TruthUnknownError, match="in time"):
        request("GET", server.url, Deadline(0.3))


@pytest.mark.requirement("cluster-http-bounds")
def test_an_endless_body_is_cut(server):
    server.says("GET", "/", endless_body)
    with pytest.raises(TruthUnknownError, match="longer than"):
        request("GET", server.url, Deadline(LONG))


@pytest.mark.requirement("cluster-http-bounds")
@pytest.mark.parametrize(
    "raw",
    [b"", b"\0\xff\n\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 abc\r\n\r\n"],
)
def test_what_is_no_answer(server, raw):
    server.says("GET", "/", lambda handler: handler.wfile.write(raw))
    with pytest.raises(TruthUnknownError):
        request("GET", server.url, Deadline(LONG)).json()


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"<html>", b"[" * 100_000, b'{"a": "\xff"}'])
def test_what_is_no_object(server, body):
    server.says("GET", "/", (200, {}, body))
    with pytest.raises(TruthUnknownError, match="JSON object"):
        request("GET", server.url, Deadline(LONG)).json()


@pytest.mark.requirement("cluster-http-bounds")
def test_no_proxy_and_no_redirect(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.says("GET", "/", (302, {"Location": "/elsewhere"}, b""))
    assert request("GET", server.url, Deadline(LONG)).status == 302
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://127.0.0.1:99999/", "http://[::1/", "http:///x"])
def test_nobody_there(url):
    with pytest.raises(TruthUnknownError):
        request("GET", url, Deadline(LONG))


def test_one_that_takes_no_connection():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                other.connect(deaf.getsockname())
        with pytest.raises(TruthUnknownError, match="in time"):
            request("GET", f"http://127.0.0.1:{deaf.getsockname()[1]}/", Deadline(0.2))
        for other in others:
            other.close()

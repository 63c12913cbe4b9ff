"""The JVM's own file: its format, and nonsense in its place."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap_spark.launcher_protocol.performance_data import capabilities, collections


def written(order, *entries):
    """A number is a Java long, which is no vector."""
    body = b""
    for name, content in entries:
        scalar = isinstance(content, int)
        value = struct.pack(f"{order}q", content) if scalar else content
        encoded = name + b"\0"
        length = 20 + len(encoded) + len(value)
        size, kind = (0, ord("J")) if scalar else (len(value), ord("B"))
        body += struct.pack(f"{order}IIIBBBBI", length, 20, size, kind, 0, 5, 1, 20 + len(encoded))
        body += encoded + value
    head = b"\xca\xfe\xc0\xc0" + bytes([order == "<", 2, 0, 1]) + struct.pack(f"{order}IIQ", 32 + len(body), 0, 0)
    return head + struct.pack(f"{order}II", 32, len(entries)) + body


@pytest.mark.requirement("hang-3")
@pytest.mark.parametrize("order", ["<", ">"])
def test_capabilities_are_found(order):
    data = written(order, (b"java.cls.loadedClasses", b"\1" * 8), (b"sun.rt.jvmCapabilities", b"1100"), (b"x", b"1"))
    assert capabilities(data) == b"1100"
    assert capabilities(data[: len(data) // 2]) == b""
    assert capabilities(b"\0" + data[1:]) == b""


@pytest.mark.requirement("hang-3")
@given(st.binary(max_size=200))
def test_nonsense_has_none(data):
    assert capabilities(b"\xca\xfe\xc0\xc0" + data) == b""
    assert collections(b"\xca\xfe\xc0\xc0" + data) is None


@pytest.mark.requirement("hang-4")
@pytest.mark.parametrize("order", ["<", ">"])
def test_collections_are_counted(order):
    def counted(*counts):
        counts = [(b"sun.gc.collector.%d.invocations" % at, count) for at, count in enumerate(counts)]
        return collections(written(order, (b"sun.gc.collector.0.time", 5), (b"sun.rt.jvmCapabilities", b"1"), *counts))

    assert counted(1, 2) == counted(1, 2)
    assert counted(1, 2) != counted(1, 3)
    assert counted(1, 2) != counted(2, 2)
    assert counted() is None

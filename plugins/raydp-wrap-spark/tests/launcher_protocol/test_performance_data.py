"""The JVM's own file: its format, and nonsense in its place."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap_spark.launcher_protocol.performance_data import capabilities


def written(order, *entries):
    body = b""
    for name, value in entries:
        encoded = name + b"\0"
        length = 20 + len(encoded) + len(value)
        body += struct.pack(f"{order}IIIBBBBI", length, 20, len(value), ord("B"), 0, 5, 1, 20 + len(encoded))
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

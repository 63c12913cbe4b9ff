from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from raydp_wrap_spark.cluster.relay import Relay, _successors

WITHIN = 30.0
EVERYTHING = bytes(range(256)) * 4096  # 1 MiB: more than all pipes on the way hold


@pytest.fixture
def target():
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        with contextlib.suppress(OSError):
            os.close(fd)


def read_all(fd, size, into):
    while len(into) < size and select.select([fd], [], [], WITHIN)[0]:
        piece = os.read(fd, 65536)
        if not piece:
            return
        into += piece


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data) :]


@pytest.mark.requirement("cluster-relay")
def test_every_byte_arrives_in_order_and_is_seen(target):
    seen, got = bytearray(), bytearray()
    relay = Relay(target[1], seen.extend)
    reader = threading.Thread(target=read_all, args=(target[0], len(EVERYTHING), got))
    reader.start()
    write_all(relay.write_end, EVERYTHING)
    relay.started()
    assert relay.finish(WITHIN)
    reader.join(WITHIN)
    relay.close()
    assert got == seen == EVERYTHING


@pytest.mark.requirement("cluster-relay")
def test_nothing_waits_for_a_line_to_end(target):
    relay = Relay(target[1], bytes)
    os.write(relay.write_end, b"no line end yet")
    assert select.select([target[0]], [], [], WITHIN)[0]
    assert os.read(target[0], 100) == b"no line end yet"
    relay.close()


@pytest.mark.requirement("cluster-relay")
def test_a_reader_that_does_not_read_holds_the_driver_and_loses_nothing(target):
    relay = Relay(target[1], bytes)
    os.set_blocking(relay.write_end, False)
    sent = 0
    while select.select([], [relay.write_end], [], 0.5)[1]:  # until nobody takes any more
        with contextlib.suppress(BlockingIOError):
            sent += os.write(relay.write_end, EVERYTHING[sent : sent + 1000])
    assert sent < len(EVERYTHING)
    relay.started()
    assert not relay.finish(0.2)  # it says so
    relay.close()  # and doesn't wait
    got = bytearray()
    read_all(target[0], sent, got)
    assert got == EVERYTHING[:sent]
    assert _successors.pop().wait(WITHIN) == 0


def test_others_may_hold_the_drivers_end(target):
    relay = Relay(target[1], bytes)
    other = os.dup(relay.write_end)
    os.write(other, b"last words")
    relay.started()
    assert relay.finish(WITHIN)
    assert os.read(target[0], 100) == b"last words"
    relay.close()
    os.close(other)


@pytest.mark.parametrize("how", ["closed reader", "closed target"])
def test_nobody_listens_any_more(target, how):
    seen = bytearray()
    relay = Relay(target[1], seen.extend)
    os.close(target[0] if how == "closed reader" else target[1])
    write_all(relay.write_end, EVERYTHING)
    relay.started()
    assert relay.finish(WITHIN)
    relay.close()
    assert seen == EVERYTHING  # it was read all the same, so the driver was never held


def test_who_listens_in_may_fail(target):
    def fail(piece):
        raise RuntimeError(piece)

    relay = Relay(target[1], fail)
    os.write(relay.write_end, b"words")
    relay.started()
    assert relay.finish(WITHIN)
    relay.close()
    assert os.read(target[0], 100) == b"words"


def test_a_target_that_is_not_blocking(target):
    os.set_blocking(target[1], False)
    relay = Relay(target[1], bytes)
    got = bytearray()
    reader = threading.Thread(target=read_all, args=(target[0], len(EVERYTHING), got))
    reader.start()
    write_all(relay.write_end, EVERYTHING)
    relay.started()
    assert relay.finish(WITHIN)
    reader.join(WITHIN)
    relay.close()
    assert got == EVERYTHING


def test_its_thread_takes_no_signal(target):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    relay = Relay(target[1], bytes)
    tid = relay._thread.native_id
    with open(f"/proc/self/task/{tid}/status", encoding="ascii") as file:
        blocked = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
    assert all(blocked >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    relay.close()


def test_descriptors_and_threads_are_given_back(target):
    count = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        relay = Relay(target[1], bytes)
        relay.close()
    assert len(os.listdir("/proc/self/fd")) == count
    assert not [thread for thread in threading.enumerate() if thread.name == "raydp-wrap-stderr"]


def test_a_real_driver(target):
    relay = Relay(target[1], bytes)
    with subprocess.Popen([sys.executable, "-c", "import os; os.write(2, b'said')"], stderr=relay.write_end) as driver:
        relay.started()
        assert driver.wait() == 0
    assert relay.finish(WITHIN)
    relay.close()
    assert os.read(target[0], 10) == b"said"

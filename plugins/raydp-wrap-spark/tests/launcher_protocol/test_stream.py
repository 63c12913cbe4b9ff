"""The decoder against recorded streams, another decoder, and nonsense."""

from __future__ import annotations

import struct
from pathlib import Path

import javaobj.v2 as javaobj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap_spark.launcher_protocol.messages import AppState, Hello, SetAppId, SetState, Stop, stop_request
from raydp_wrap_spark.launcher_protocol.stream import LIMIT, Decoder, StreamError

STREAMS = sorted(Path(__file__).parent.glob("streams/*.bin"))
RECORDED = [path.read_bytes() for path in STREAMS]


def by_the_oracle(data):
    """What javaobj makes of DATA."""
    loaded = javaobj.loads(data)
    found = []
    for instance in loaded if isinstance(loaded, list) else [loaded]:
        (fields,) = [
            values for known, values in instance.field_data.items() if known.name == instance.classdesc.name
        ] or [{}]
        values = {field.name: value for field, value in fields.items()}
        kind = instance.classdesc.name.rpartition("$")[2]
        if kind == "Hello":
            found.append(Hello(str(values["secret"]), str(values["sparkVersion"])))
        elif kind == "SetAppId":
            found.append(SetAppId(str(values["appId"])))
        elif kind == "SetState":
            found.append(SetState(AppState(str(values["state"].value))))
        else:
            found.append(Stop())
    return found


@pytest.mark.requirement("launcher-1")
@pytest.mark.parametrize("data", RECORDED, ids=[path.stem for path in STREAMS])
def test_recorded_streams_are_read_as_another_decoder_reads_them(data):
    said = Decoder().feed(data)
    assert said == by_the_oracle(data)
    assert isinstance(said[0], Hello)
    assert said[0].secret == "5ec2e7" * 4
    assert isinstance(said[1], SetAppId)
    assert said[1].app_id.startswith("local-")
    assert said[2] == SetState(AppState.RUNNING)
    assert said[-1].state.final


@pytest.mark.requirement("launcher-1")
@pytest.mark.parametrize("data", RECORDED, ids=[path.stem for path in STREAMS])
def test_messages_come_in_whatever_pieces(data):
    whole = Decoder().feed(data)
    for cut in range(len(data) + 1):
        decoder = Decoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == whole
    decoder = Decoder()
    assert [message for byte in data for message in decoder.feed(bytes([byte]))] == whole


MESSAGES = st.one_of(
    st.tuples(st.just("Hello"), st.text(max_size=50), st.text(max_size=10)),
    st.tuples(st.just("SetAppId"), st.text(max_size=50)),
    st.tuples(st.just("SetState"), st.sampled_from([state.name for state in AppState])),
    st.tuples(st.just("Stop")),
)
KINDS = {"Hello": Hello, "SetAppId": SetAppId, "SetState": lambda name: SetState(AppState(name)), "Stop": Stop}


@pytest.mark.requirement("launcher-1")
@given(messages=st.lists(MESSAGES, max_size=8), data=st.data())
def test_any_messages_in_any_pieces(make_speaker, messages, data):
    speaker, decoder, found = make_speaker(), Decoder(), []
    stream = b"".join(speaker.say(*message) for message in messages)
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:count])
        stream = stream[count:]
    assert found == [KINDS[name](*values) for name, *values in messages]


@pytest.mark.requirement("launcher-1")
@given(st.binary(max_size=300), st.booleans())
def test_nonsense_is_refused_and_nothing_else_happens(data, begins_well):
    decoder = Decoder()
    try:
        assert decoder.feed(bytes.fromhex("aced0005") * begins_well + data) == []
    except StreamError:
        return
    # What was not refused may yet become a message.
    assert len(data) < 300


@pytest.mark.requirement("launcher-1")
@given(
    st.sampled_from(RECORDED),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_changed_streams_give_messages_or_are_refused(data, changes, doubled):
    changed = bytearray(data)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    changed += changed[: doubled * 100]
    try:
        said = Decoder().feed(bytes(changed))
    except StreamError:
        return
    assert all(isinstance(message, Hello | SetAppId | SetState | Stop) for message in said)


def described(name, uid, flags=2, fields=b"\0\0", end=b"\x78", parent=b"\x70"):
    encoded = name.encode()
    return (
        b"\x73\x72"
        + struct.pack(">H", len(encoded))
        + encoded
        + struct.pack(">q", uid)
        + bytes([flags])
        + fields
        + end
        + parent
    )


STOP = "org.apache.spark.launcher.LauncherProtocol$Stop"
MESSAGE = described("org.apache.spark.launcher.LauncherProtocol$Message", -5003164482046097355)[1:]


@pytest.mark.requirement("launcher-1")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(described("java.util.HashMap", 362498820763181265), id="another class"),
        pytest.param(described(STOP, 1, parent=MESSAGE), id="another uid"),
        pytest.param(described(STOP, 1730868999917216513, flags=3, parent=MESSAGE), id="writes data of its own"),
        pytest.param(described(STOP, 1730868999917216513, fields=b"\0\1I\0\1a", parent=MESSAGE), id="another field"),
        pytest.param(described(STOP, 1730868999917216513, end=b"\x77", parent=MESSAGE), id="annotated"),
        pytest.param(described(STOP, 1730868999917216513), id="no super class"),
        pytest.param(b"\x73" + MESSAGE, id="a message of no kind"),
        pytest.param(b"\x73\x71\x00\x7e\x00\x00", id="a reference to nothing"),
        pytest.param(b"\x73\x71\xff\xff\xff\xff", id="a reference below the first"),
        pytest.param(b"\x79", id="a reset"),
        pytest.param(b"\x7b", id="an exception"),
        pytest.param(b"\x77\x01a", id="block data"),
        pytest.param(b"\x7d", id="a proxy class"),
    ],
)
def test_what_is_not_on_the_list_is_refused(data):
    with pytest.raises(StreamError):
        Decoder().feed(bytes.fromhex("aced0005") + data)


@pytest.mark.requirement("launcher-1")
def test_a_state_that_there_is_not_is_refused(speaker):
    with pytest.raises(StreamError, match="a state that there is not"):
        Decoder().feed(speaker.say("SetState", "SLEEPING"))


@pytest.mark.requirement("launcher-1")
def test_a_stream_has_an_end(speaker):
    """However small the messages, and however long one is in coming."""
    stream = b"".join(speaker.say("SetState", "RUNNING") for _ in range(LIMIT // 4))
    decoder = Decoder()
    for at in range(0, LIMIT, 1024):
        decoder.feed(stream[at : at + 1024])
    with pytest.raises(StreamError, match="more than"):
        decoder.feed(stream[LIMIT : LIMIT + 1])


@pytest.mark.requirement("launcher-1")
def test_another_protocol_is_refused_at_its_first_bytes():
    with pytest.raises(StreamError):
        Decoder().feed(b"GE")


@pytest.mark.requirement("launcher-3")
def test_our_stop_is_one_to_every_decoder(speaker):
    assert stop_request() == speaker.say("Stop")
    assert by_the_oracle(stop_request()) == [Stop()]


def test_a_secret_is_not_shown():
    assert "5ec2e7" not in repr(Hello("5ec2e7", "4.3.0"))

"""The webhook against a real server that behaves, fails, and misbehaves."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from sinks.receiver import Receiver, flood, reply
from sinks.told import HOSTILE, outcome, report

from raydp_wrap import __version__
from raydp_wrap.backend import Answer, Verdict
from raydp_wrap.errors import UsageError
from raydp_wrap.outcome import to_dict
from raydp_wrap.sinks import canonical, parse
from raydp_wrap.sinks.exchange import _Timed, seconds_of
from raydp_wrap.sinks.webhook import SECRET_FILE, Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.requirement("sink-4.2")

KEY = bytes(range(32))
RETRY = Verdict.RETRY_AFTER


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD", SECRET_FILE):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "a secret"
    path.write_bytes(b"whsec_" + base64.b64encode(KEY) + b"\n")
    path.chmod(0o600)
    return path


def hasty(url: str, seconds: float = 0.4) -> Webhook:
    sink = Webhook(url)
    sink._seconds = seconds
    return sink


def test_what_is_sent() -> None:
    with Receiver(reply(204)) as server:
        assert Webhook(f"{server.url}/a/b?c=d").deliver(report()) == Answer(Verdict.ACCEPTED)
    (got,) = server.requests
    assert got.line == "POST /a/b?c=d HTTP/1.1"
    assert json.loads(got.body) == to_dict(outcome())
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"] == f"raydp-wrap/{__version__}"
    assert got.headers["webhook-id"] == got.headers["idempotency-key"] == "s-1/0"
    assert abs(time.time() - int(got.headers["webhook-timestamp"])) < 300
    assert "webhook-signature" not in got.headers
    assert "authorization" not in got.headers


def signed_by(secret: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> tuple[dict[str, str], bytes]:
    """What a process of another environment and directory sends, when the owner's named SECRET."""
    with Receiver(reply(200)) as server:
        monkeypatch.chdir(secret.parent)
        monkeypatch.setenv(SECRET_FILE, secret.name)
        text, sink = parse(f"webhook:{server.url}/", {})
        sink.check()
        kept = canonical(text, sink)
        monkeypatch.delenv(SECRET_FILE)
        monkeypatch.chdir("/")
        again = parse(kept, {}).sink
        assert again.text == sink.text
        assert again.deliver(report(**changes)).verdict is Verdict.ACCEPTED
    return server.requests[0].headers, server.requests[0].body


@pytest.mark.parametrize(
    "content",
    [
        b"whsec_" + base64.b64encode(KEY),
        b"whsec_" + base64.b64encode(KEY).rstrip(b"=") + b"\r\n",
        KEY,
        KEY + b"\n",
    ],
)
def test_it_is_signed_by_the_specification(secret: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    secret.write_bytes(content)
    headers, body = signed_by(secret, monkeypatch)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()


@pytest.mark.requirement("fault-38")
@pytest.mark.parametrize("name", ["nightly", HOSTILE])
def test_the_specifications_own_library_verifies_it(secret: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    library = pytest.importorskip("standardwebhooks")
    headers, body = signed_by(secret, monkeypatch, name=name)
    found = library.Webhook(base64.b64encode(KEY).decode()).verify(body, headers)
    assert found["submission_id"] == "s-1"
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(base64.b64encode(bytes(32)).decode()).verify(body, headers)


def test_the_receiver_in_the_docs_verifies_it(
    secret: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs/sinks.md").read_text(encoding="utf-8")
    (source,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "http.server" in code]
    monkeypatch.setattr("sys.argv", ["receiver.py", str(secret)])
    names: dict[str, type] = {}
    head, serve = source.strip().rsplit("\n", 1)
    assert "serve_forever" in serve
    exec(head, names)  # the page's own code, but for its last line
    monkeypatch.setattr(names["Receiver"], "log_message", lambda *_: None, raising=False)
    other = secret.with_name("other")
    other.write_bytes(b"another key")
    other.chmod(0o600)
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            assert (
                Webhook(f"{url}#secret-file={secret}".replace(" ", "%20")).deliver(report()).verdict is Verdict.ACCEPTED
            )
            assert Webhook(f"{url}#secret-file={other}").deliver(report()).verdict is Verdict.REJECTED
            assert Webhook(url).deliver(report()).verdict is Verdict.REJECTED
        finally:
            server.shutdown()
            thread.join()
    assert capsys.readouterr().out.startswith("s-1/0 FAILED")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ACCEPTED), (201, Verdict.ACCEPTED), (204, Verdict.ACCEPTED), (299, Verdict.ACCEPTED),
        (409, Verdict.DUPLICATE),
        (408, RETRY), (425, RETRY), (429, RETRY), (500, RETRY), (502, RETRY), (503, RETRY), (599, RETRY), (103, RETRY),
        (999, RETRY),
        (300, Verdict.REJECTED), (304, Verdict.REJECTED), (400, Verdict.REJECTED), (401, Verdict.REJECTED),
        (404, Verdict.REJECTED), (410, Verdict.REJECTED), (422, Verdict.REJECTED),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, verdict: Verdict) -> None:
    with Receiver(reply(status)) as server:
        answer = Webhook(server.url).deliver(report())
    assert answer.verdict is verdict
    assert answer.seconds is None
    assert str(status) in answer.text or verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0), ("7", 7.0), (" 12 ", 12.0), ("3600", 3600.0), ("3601", 3600.0), ("9" * 5000, 3600.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0), ("Thu, 01 Jan 1970 00:02:00 -0000", None),
        ("", None), ("-1", None), ("1.5", None), ("soon", None), ("\u0663", None), ("inf", None),
        ("Thu, 99 Jan 1970 00:00:10 GMT", None), ("Fri, 31 Dec 9999999999 23:59:59 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(text: str, seconds: float | None) -> None:
    assert seconds_of(text, now=100.0) == seconds


@pytest.mark.requirement("fault-32")
def test_a_storm_of_refusals_is_one_report_all_along() -> None:
    storm = [reply(429, "Retry-After: 5"), reply(503, "Retry-After: 999999"), reply(502), reply(500, "Retry-After: x")]
    with Receiver(*storm, reply(200)) as server:
        answers = [Webhook(server.url).deliver(report(tries=n)) for n in range(1, 6)]
    assert [answer.seconds for answer in answers] == [5.0, 3600.0, None, None, None]
    assert [answer.verdict for answer in answers] == [RETRY] * 4 + [Verdict.ACCEPTED]
    assert len({(request.headers["webhook-id"], request.body) for request in server.requests}) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_but_shown_without_its_secrets(status: int) -> None:
    with Receiver(reply(200)) as elsewhere:
        location = f"Location: {elsewhere.url.replace('//', '//u:hunter2@')}/path?token=hunter2"
        with Receiver(reply(status, location)) as server:
            answer = Webhook(server.url).deliver(report())
    assert answer.verdict is Verdict.REJECTED
    assert f"{elsewhere.url}/…" in answer.text
    assert "hunter2" not in answer.text
    assert elsewhere.requests == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://h/x", "", "\x1b[31m"])
def test_a_redirect_leads_nowhere(location: str) -> None:
    with Receiver(reply(302, f"Location: {location}")) as server:
        answer = Webhook(server.url).deliver(report())
    assert answer.verdict is Verdict.REJECTED
    assert answer.text.isprintable()


@pytest.mark.requirement("fault-38")
def test_what_a_refusal_says_is_short_and_harmless() -> None:
    body = b"no \x1b]0;x\x07\0\r\n\xff\xe2\x80\xae" + b"x" * 5000
    with Receiver(reply(422, body=body)) as server:
        answer = Webhook(server.url).deliver(report())
    assert answer.verdict is Verdict.REJECTED
    assert answer.text.startswith("it answered 422: no \\x1b]0;x\\x07\\x00 ")
    assert answer.text.isprintable()
    assert len(answer.text) <= len("it answered 422: ") + 200


def test_what_a_refusal_echoes_of_the_url_is_hidden() -> None:
    body = b"Cannot POST /services/T0123456/hunter2xyz?key=hunter2key for hunter2user with hunter2 word"
    with Receiver(reply(404, body=body)) as server:
        host = server.url.replace("//", "//hunter2user:hunter2%20word@")
        answer = Webhook(f"{host}/services/T0123456/hunter2xyz?key=hunter2key").deliver(report())
    assert answer.text == "it answered 404: Cannot POST …?… for … with …"
    (got,) = server.requests
    assert base64.b64decode(got.headers["authorization"].removeprefix("Basic ")) == b"hunter2user:hunter2 word"
    assert got.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.requirement("fault-30")
def test_who_applies_it_and_dies_before_the_answer_is_asked_again_with_the_same_key() -> None:
    applied: set[str] = set()

    def apply(connection: socket.socket, *, die: bool) -> None:
        identity = server.requests[-1].headers["webhook-id"]
        known = identity in applied
        applied.add(identity)
        if not die:
            connection.sendall(reply(409 if known else 200))

    with Receiver(lambda c: apply(c, die=True), lambda c: apply(c, die=False)) as server:
        first = Webhook(server.url).deliver(report(tries=1))
        second = Webhook(server.url).deliver(report(tries=2))
        other = Webhook(server.url).deliver(report(key="s-1/1"))
    assert [first.verdict, second.verdict, other.verdict] == [RETRY, Verdict.DUPLICATE, Verdict.ACCEPTED]
    assert applied == {"s-1/0", "s-1/1"}
    assert server.requests[0].body == server.requests[1].body


OK_HEAD = b"HTTP/1.1 200 OK\r\n"
BAD_HEAD = b"HTTP/1.1 400 Bad\r\nContent-Length: 10000000000\r\n\r\n"


@pytest.mark.requirement("fault-31")
@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (OK_HEAD + b"X: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 407 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;"),
    ],
)
def test_an_answer_that_trickles_is_not_waited_for(head: bytes, drop: bytes) -> None:
    with Receiver(b"") as server:
        server._answers = [server.trickle(head, drop)]
        answer = hasty(server.url, 1.0 if b"407" in head else 0.4).deliver(report())
    refused = Answer(Verdict.REJECTED, "it answered 407")
    assert answer == (refused if b"407" in head else Answer(RETRY, "it did not answer in time"))


@pytest.mark.requirement("fault-31")
def test_each_read_has_only_the_time_that_is_left() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(1000)
        theirs.sendall(b"x")
        with _Timed(ours, time.monotonic() + 60) as timed:
            assert timed.read(5) == b"x"
            assert ours.gettimeout() <= 60
        with _Timed(ours, time.monotonic() - 1) as late, pytest.raises(TimeoutError):
            late.read(1)


@pytest.mark.requirement("fault-31")
def test_a_server_that_hangs_is_not_waited_for() -> None:
    with Receiver(b"") as server:
        server._answers = [server.hang]
        assert hasty(server.url).deliver(report()) == Answer(RETRY, "it did not answer in time")


@pytest.mark.requirement("fault-31")
def test_a_late_refusal_still_counts_whatever_becomes_of_its_body() -> None:
    with Receiver(b"") as server:
        server._answers = [server.trickle(BAD_HEAD, b"x")]
        answer = hasty(server.url, 1.0).deliver(report())
    assert answer.verdict is Verdict.REJECTED
    assert re.fullmatch("it answered 400: x+", answer.text)


@pytest.mark.requirement("fault-31")
@pytest.mark.parametrize(
    ("head", "piece", "verdict"),
    [
        (OK_HEAD + b"Content-Length: 10000000000\r\n\r\n", b"x" * 65536, Verdict.ACCEPTED),
        (BAD_HEAD, b"x" * 65536, Verdict.REJECTED),
        (b"HTTP/1.1 400 Bad\r\n\r\n", b"x" * 65536, Verdict.REJECTED),
        (
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b"x" * 65536 + b"\r\n",
            Verdict.REJECTED,
        ),
        (b"", b"x" * 65536, RETRY),
        (OK_HEAD, b"X: y\r\n" * 10000, RETRY),
        (OK_HEAD + b"X: ", b"x" * 65536, RETRY),
    ],
)
def test_ten_gigabytes_are_not_read(head: bytes, piece: bytes, verdict: Verdict) -> None:
    with flood(head, piece, 10_000_000_000) as (send, sent), Receiver(send) as server:
        assert Webhook(server.url).deliver(report()).verdict is verdict
    assert sent[0] < 64 << 20  # what lies in the sockets' buffers, at most


@pytest.mark.requirement("fault-31")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\xff\x1b garbage\r\n\r\n",
        b"HTTP/1.1 2",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\nX",
        b"\r\n" * 9,
    ],
)
def test_garbage_is_no_yes(answer: bytes) -> None:
    with Receiver(answer) as server:
        got = Webhook(server.url).deliver(report())
    assert got.verdict is RETRY
    assert got.text.isprintable()
    assert got.text


@pytest.mark.parametrize(
    "answer", [OK_HEAD + b"Content-Length: 100\r\n\r\nhalf", OK_HEAD + b"\r\n", OK_HEAD + b"\r\n\xff\0"]
)
def test_a_yes_stays_one_when_the_connection_breaks_behind_it(answer: bytes) -> None:
    with Receiver(answer) as server:
        assert Webhook(server.url).deliver(report()).verdict is Verdict.ACCEPTED


def test_nobody_listens() -> None:
    with Receiver(b"") as server:
        pass
    assert Webhook(server.url).deliver(report()) == Answer(RETRY, os.strerror(111))
    unknown = Webhook("http://no-such-host.invalid/").deliver(report())
    assert unknown.verdict is RETRY
    assert unknown.text


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(reply(200)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert Webhook("http://receiver.invalid/x").deliver(report()).verdict is Verdict.ACCEPTED
    assert proxy.requests[0].line == "POST http://receiver.invalid/x HTTP/1.1"


@pytest.mark.parametrize(
    "proxy", ["http:/hunter2", "ftp://hunter2@h:1", "://hunter2", "http://u:hunter2@no-such-host.invalid:1", "//"]
)
def test_a_useless_proxy_is_no_end(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    answer = Webhook("http://receiver.invalid/x").deliver(report())
    assert answer.verdict is RETRY
    assert "hunter2" not in answer.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def secured(certificate: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Receiver(reply(200), tls=context) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(secured: Receiver) -> None:
    answer = Webhook(secured.url).deliver(report())
    assert answer.verdict is RETRY
    assert answer.text.startswith("its certificate is not trusted: self")
    assert secured.requests == []


def test_a_trusted_certificate_is(secured: Receiver, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    assert Webhook(secured.url).deliver(report()).verdict is Verdict.ACCEPTED
    assert len(secured.requests) == 1


def test_tls_to_whom_speaks_none() -> None:
    with Receiver(b"") as server:
        server._answers = [server.hang]
        assert hasty(server.url.replace("http:", "https:")).deliver(report()).verdict is RETRY


@pytest.mark.requirement("sink-4.4")
@pytest.mark.parametrize(
    "url",
    [
        "", "hunter2", "//hunter2/", "/hunter2", "https://", "https:///hunter2", "https://:443/hunter2", "file:///etc/hunter2",
        "ftp://h/hunter2", "gopher://h/hunter2", "https://h/hunter2 x", "https://h/hunter2\n", "https://h/\thunter2", "https://h/hunter2\0",
        "https://h\r\nX: hunter2", "https://h/\x1bhunter2", "https://h/h\u00e4/hunter2", "https://h:x/hunter2", "https://h:99999/hunter2",
        "https://h:0/hunter2", "https://[::1/hunter2", "https://h\\@g/hunter2", "https://u:hunter2/x@h/y", "https://h/hunter2#frag",
        "https://h/hunter2#secret-file=", "https://h/hunter2#secret-file=%00", "https://" + "a" * 64 + ".h/hunter2", "https://h..h/hunter2",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"webhook:{url}", {})
    text = str(caught.value)
    assert "hunter2" not in text
    assert text.endswith(".")
    assert text.isprintable()


@pytest.mark.parametrize("url", ["http://h", "https://[::1]:8443/x", "https://u:p@h.example/a?b=c,d", "HTTPS://H/"])
def test_what_is_one_is_taken_as_it_is(url: str) -> None:
    sink = Webhook(url)
    sink.check()
    assert sink.text is None


def missing(path: Path) -> None:
    path.unlink()


SPOILS: list[Callable[[Path], object]] = [
    missing,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"\n"),
    lambda path: path.write_bytes(b"whsec_\n"),
    lambda path: path.write_bytes(b"whsec_hunter22!!!!"),
    lambda path: path.write_bytes(b"x" * 5000),
    lambda path: path.chmod(0o640),
    lambda path: path.chmod(0o604),
    lambda path: (path.unlink(), path.mkdir()),
    lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
    lambda path: (path.unlink(), path.symlink_to(path)),
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_secret_that_cannot_be_used_is_refused_and_nothing_is_sent_unsigned(
    secret: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object]
) -> None:
    monkeypatch.setenv(SECRET_FILE, str(secret))
    with Receiver(reply(200)) as server:
        checked = Webhook(server.url)
        checked.check()
        spoil(secret)
        with pytest.raises(UsageError) as caught:
            Webhook(server.url).check()
        answer = checked.deliver(report())
    assert answer == Answer(RETRY, str(caught.value))
    assert str(secret) in answer.text
    assert ("is not a file" in answer.text) is (secret.is_dir() or secret.is_fifo())
    assert "hunter2" not in answer.text
    assert server.requests == []


def test_the_url_says_which_secret_before_the_environment_does(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_FILE, "/nowhere")
    monkeypatch.chdir(secret.parent)
    sink = Webhook("https://h/x?y#secret-file=a%20secret")
    sink.check()
    assert sink.text == f"https://h/x?y#secret-file={secret.parent}/a%20secret"


@pytest.mark.requirement("fault-38")
def test_hostile_names_and_keys_are_valid_json_in_a_valid_request() -> None:
    with Receiver(reply(200)) as server:
        told = report(key="k\r\nX-Evil: 1\0\udcff", name=HOSTILE, diagnostics=HOSTILE, tags={HOSTILE: HOSTILE})
        assert Webhook(server.url).deliver(told).verdict is Verdict.ACCEPTED
    (got,) = server.requests
    assert "x-evil" not in got.headers
    assert got.headers["webhook-id"].isascii()
    found = json.loads(got.body.decode("utf-8"))
    expected = HOSTILE.replace("\udcff", "\ufffd").replace("\ud800", "\ufffd")
    assert (found["name"], found["tags"]) == (expected, {expected: expected})
    found_again = json.dumps(found, ensure_ascii=False).encode("utf-8")  # no half of a pair hides in an escape
    assert found_again
    assert int(got.headers["content-length"]) == len(got.body)

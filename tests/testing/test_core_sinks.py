"""The core's own sinks do what every sink has to do."""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from raydp_wrap.sinks.command import Command
from raydp_wrap.sinks.file import File
from raydp_wrap.sinks.webhook import Webhook
from raydp_wrap.testing import FaultySink, HttpReceiver, SinkContract

if TYPE_CHECKING:
    from pathlib import Path

Received = list[tuple[str | None, dict[str, Any]]]

pytestmark = [pytest.mark.requirement("plugin-3.2", "plugin-3.7"), pytest.mark.usefixtures("raydp_wrap_home")]


class TestFile(SinkContract):
    factory = File
    replaces = True

    @pytest.fixture
    def sink_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Relative: from another process's directory it has to be the same file."""
        monkeypatch.chdir(tmp_path)
        self.path = tmp_path / "below" / "outcome.json"
        self.path.parent.mkdir()
        return "below/outcome.json"

    def received(self) -> Received:
        try:
            return [(None, json.loads(self.path.read_bytes()))]
        except FileNotFoundError:
            return []

    def break_receiver(self) -> None:
        self.path.parent.rmdir()

    def heal_receiver(self) -> None:
        self.path.parent.mkdir()


class TestWebhook(SinkContract):
    factory = Webhook

    @pytest.fixture
    def sink_text(self, http_receiver: HttpReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        self.receiver = http_receiver
        secret = tmp_path / "secret"
        secret.touch(0o600)
        secret.write_text("a secret, long enough for a test\n")
        monkeypatch.setenv("RAYDP_WRAP_WEBHOOK_SECRET_FILE", str(secret))
        monkeypatch.setenv("no_proxy", "*")
        return f"{http_receiver.url}hook"

    def received(self) -> Received:
        assert all("webhook-signature" in request.headers for request in self.receiver.requests)
        return self.receiver.received()

    def break_receiver(self) -> None:
        self.receiver.status = 503

    def heal_receiver(self) -> None:
        self.receiver.status = None


KEEPS = """#!{python} -IS
import fcntl, json, os, sys
if os.path.exists({broken!r}):
    sys.exit("it is broken")
with open({path!r}, "ab+") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    if os.environ["RAYDP_WRAP_KEY"] not in [json.loads(line)[0] for line in file]:
        file.write(json.dumps([os.environ["RAYDP_WRAP_KEY"], json.load(sys.stdin)]).encode() + b"\\n")
"""


class TestExec(SinkContract):
    factory = Command

    @pytest.fixture
    def sink_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Found along PATH, which other processes don't have."""
        self.path, self.broken = tmp_path / "kept", tmp_path / "broken"
        program = tmp_path / "bin" / "keep it"
        program.parent.mkdir()
        program.write_text(KEEPS.format(python=sys.executable, path=str(self.path), broken=str(self.broken)))
        program.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return "'keep it' --whatever"

    def received(self) -> Received:
        if not self.path.exists():
            return []
        return [(key, outcome) for key, outcome in map(json.loads, self.path.read_bytes().splitlines())]

    def break_receiver(self) -> None:
        self.broken.touch()

    def heal_receiver(self) -> None:
        self.broken.unlink()


class TestFaulty(SinkContract):
    """The double for faults, while it is told not to make any."""

    factory = FaultySink

    @pytest.fixture
    def sink_text(self, tmp_path: Path) -> str:
        self.path = tmp_path / "below" / "applied"
        self.path.parent.mkdir()
        return f"accept@{self.path}"

    def break_receiver(self) -> None:
        pytest.skip("it does not report what is wrong with its file")

    def received(self) -> Received:
        return [*FaultySink(f"accept@{self.path}").applied()]

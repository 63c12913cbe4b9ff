from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[1] / "programs"
PACKAGE = "org.apache.spark.launcher"
MESSAGE = f"{PACKAGE}.LauncherProtocol$Message"
TEXT = "Ljava/lang/String;"
STATE = f"{PACKAGE}.SparkAppHandle$State"
CLASSES = {
    MESSAGE: (-5003164482046097355, 2, [], None),
    f"{PACKAGE}.LauncherProtocol$Hello": (9176922929317261517, 2, [("secret", TEXT), ("sparkVersion", TEXT)], MESSAGE),
    f"{PACKAGE}.LauncherProtocol$SetAppId": (1695274999092510280, 2, [("appId", TEXT)], MESSAGE),
    f"{PACKAGE}.LauncherProtocol$SetState": (
        -1192011395149543032,
        2,
        [("state", f"L{STATE.replace('.', '/')};")],
        MESSAGE,
    ),
    f"{PACKAGE}.LauncherProtocol$Stop": (1730868999917216513, 2, [], MESSAGE),
    STATE: (0, 0x12, [], "java.lang.Enum"),
    "java.lang.Enum": (0, 0x12, [], None),
}


class Speaker:
    """Writes messages as Java's ObjectOutputStream does, what was written before as a reference."""

    def __init__(self):
        self.handles = {}
        self.begun = False

    def say(self, name, *values):
        out = b"" if self.begun else bytes.fromhex("aced0005")
        self.begun = True
        name = f"{PACKAGE}.LauncherProtocol${name}"
        out += b"\x73" + self._class(name)
        self._new(object())
        for (_, kind), value in zip(CLASSES[name][2], values, strict=True):
            out += self._string(value, ("value", value)) if kind == TEXT else self._enum(value)
        return out

    def _new(self, key):
        self.handles[key] = 0x7E0000 + len(self.handles)

    def _known(self, key):
        return b"\x71" + struct.pack(">i", self.handles[key]) if key in self.handles else None

    def _string(self, text, key):
        known = self._known(key)
        if known:
            return known
        self._new(key)
        return b"\x74" + self._text(text)

    def _text(self, text):
        # Modified UTF-8, by way of UTF-16's units.
        units = struct.unpack(f"<{len(text.encode('utf-16-le')) // 2}H", text.encode("utf-16-le"))
        data = b"".join(b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass") for unit in units)
        return struct.pack(">H", len(data)) + data

    def _class(self, name):
        if name is None:
            return b"\x70"
        known = self._known(("class", name))
        if known:
            return known
        uid, flags, fields, parent = CLASSES[name]
        out = b"\x72" + self._text(name) + struct.pack(">q", uid)
        self._new(("class", name))
        out += struct.pack(">BH", flags, len(fields))
        for field, kind in fields:
            out += b"L" + self._text(field) + self._string(kind, ("type", kind))
        return out + b"\x78" + self._class(parent)

    def _enum(self, constant):
        known = self._known(("constant", constant))
        if known:
            return known
        out = b"\x7e" + self._class(STATE)
        self._new(("constant", constant))
        return out + self._string(constant, ("value", constant))


class Driver(Speaker):
    """A driver's end of a connection."""

    def __init__(self, port, family=socket.AF_INET):
        super().__init__()
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        try:
            self.socket.connect(("127.0.0.1" if family == socket.AF_INET else "::1", port))
        except OSError:
            self.socket.close()
            raise

    def send(self, *message):
        self.socket.sendall(self.say(*message))

    def closed(self):
        """Whether the server has closed its end; waits until it has done something."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def speaker():
    return Speaker()


@pytest.fixture
def connect():
    """Connect to a port as a driver does."""
    made = []

    def make(port, family=socket.AF_INET):
        made.append(Driver(port, family))
        return made[-1]

    yield make
    for driver in made:
        driver.socket.close()


@pytest.fixture(scope="session")
def hanging(tmp_path_factory):
    """The class path of the program Hanging."""
    return _compiled(tmp_path_factory.mktemp("classes"), "Hanging.java")


def _compiled(directory, source, *options):
    if not shutil.which("javac"):
        pytest.skip("needs javac")
    subprocess.run(["javac", *options, "-d", directory, PROGRAMS / source], check=True)
    return directory


@pytest.fixture(scope="session")
def hanging_spark(tmp_path_factory):
    """A jar with the application HangingSpark."""
    pyspark = pytest.importorskip("pyspark")
    classes = tmp_path_factory.mktemp("spark-classes")
    _compiled(classes, "HangingSpark.java", "-cp", f"{Path(pyspark.__file__).parent}/jars/*")
    jar = classes.parent / "hanging-spark.jar"
    subprocess.run(["jar", "cf", jar, "-C", classes, "."], check=True)
    return jar


@pytest.fixture(scope="session")
def make_speaker():
    return Speaker

"""A driver that was submitted through a master's own port can only be killed there, and only Spark speaks that."""

from __future__ import annotations

import os
import re
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydp_wrap.errors import RaydpWrapError
from raydp_wrap.process import DEVNULL, PIPE, Process

from raydp_wrap_spark.cluster.driver_states import PREFIX, told
from raydp_wrap_spark.cluster.master_confs import plain_and_secret
from raydp_wrap_spark.cluster.memory_file import properties_file
from raydp_wrap_spark.cluster.truth import Told, TruthUnknownError
from raydp_wrap_spark.names import MAIN_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydp_wrap_spark.cluster.clock import Deadline
    from raydp_wrap_spark.cluster.submitted import Submitted

__all__ = ["Client", "client_of", "kill"]

_CLIENT_CLASS = "org.apache.spark.deploy.Client"
# None of these holds a secret; what the user's own environment has beside them is inherited.
_VARIABLES = (
    "HADOOP_CONF_DIR",
    "JAVA_HOME",
    "SPARK_CONF_DIR",
    "SPARK_HOME",
    "SPARK_LOCAL_HOSTNAME",
    "SPARK_LOCAL_IP",
    "SPARK_SCALA_VERSION",
)
# The user's spark-defaults.conf says how to speak to the master; what it has the application bring is not needed.
_NOT_NEEDED = ("spark.archives", "spark.files", "spark.jars", "spark.jars.packages", "spark.submit.pyFiles")
_FOUND = re.compile(rb"Kill request for \S+ submitted")
_STATE = re.compile(rb"State of driver (\S+) is ([A-Z]+)")
_GONE = b"has already finished or does not exist"
_CHUNK = 8192
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Client:
    """How to run Spark's client again, as JSON values.

    ``properties`` are options that name a properties file, ``confs`` those of the command line that are needed and no
    secrets; ``withheld`` are the names of the secret ones.
    """

    java: str = "java"
    class_path: str = ""
    properties: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    confs: dict[str, str] = field(default_factory=dict)
    withheld: list[str] = field(default_factory=list)


def client_of(what: Submitted) -> Client:
    """Return how WHAT is submitted, without what only the application needs."""
    java = list(what.java)
    class_path = next((java[at + 1] for at, word in enumerate(java[:-1]) if word in ("-cp", "-classpath")), "")
    named = what.options.properties_file
    properties = ["--properties-file", os.path.abspath(named)] if named else []
    if what.options.loads_defaults:
        properties.append("--load-spark-defaults")
    env = {name: what.env[name] for name in _VARIABLES if name in what.env}
    plain, secret = plain_and_secret(what.options.confs)
    return Client(java[0], class_path, properties, env, plain, sorted(secret))


def kill(
    masters: Sequence[str], driver: str, client: Client, deadline: Deadline, secrets: Mapping[str, str] | None = None
) -> Told:
    """Have Spark's client kill DRIVER at MASTERS; no word where it had ended already, which is all the master says.

    SECRETS are the confs that CLIENT withholds, as long as somebody has them.

    Raises:
        TruthUnknownError: the driver isn't known to have ended by DEADLINE.

    """
    by = f"standalone master {PREFIX}{','.join(masters)}"
    env = {**os.environ, **client.env}
    with properties_file(client.properties, secrets or {}, env) as (properties, fds):
        whole = _command(f"{PREFIX}{','.join(masters)}", driver, client, properties)
        said, code = _run(whole, env, fds, deadline)
        # Spark's client gives up when one of several masters is gone.
        for at, master in enumerate(masters if len(masters) > 1 else ()):
            if _FOUND.search(said) or _GONE in said or _state(said, driver) or not deadline.left():
                break
            share = deadline.share(len(masters) - at)
            said, code = _run(_command(f"{PREFIX}{master}", driver, client, properties), env, fds, share)
    if word := _state(said, driver):
        return told(by, word)
    if _GONE in said:
        return told(by, "")
    if _FOUND.search(said):
        raise TruthUnknownError(f"asked to kill it, {by} did not say in time that it has ended")
    why = _last_line(said, code)
    if lacking := [name for name in client.withheld if name not in (secrets or {})]:
        # The names come last: a word after "secret" is taken for one.
        why += f"; gone with the process that had it from its command line: {', '.join(lacking)}"
    raise TruthUnknownError(f"{by} could not be told to kill it: {why}")


def _command(master: str, driver: str, client: Client, properties: Sequence[str]) -> list[str]:
    # Through SparkSubmit it has the user's properties, that is authentication and encryption, and no secret
    # stands on its command line. The user's logging must not hide what it says.
    words = [
        client.java,
        "-Xmx128m",
        "-Dlog4j2.configurationFile=org/apache/spark/log4j2-defaults.properties",
        "-cp",
        client.class_path,
        MAIN_CLASS,
        *("--master", "local", "--deploy-mode", "client"),
        *properties,
        *("--conf", "spark.standalone.submit.waitAppCompletion=true"),
    ]
    for name, value in {**dict.fromkeys(_NOT_NEEDED, ""), **client.confs}.items():
        words += ["--conf", f"{name}={value}"]
    return [*words, "--class", _CLIENT_CLASS, "spark-internal", "kill", master, driver]


def _run(
    command: Sequence[str], env: Mapping[str, str], fds: Sequence[int], deadline: Deadline
) -> tuple[bytes, int | None]:
    """What COMMAND said on stderr until its end, or DEADLINE, and its exit code."""
    try:
        client = Process(
            command,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            env=env,
            pass_fds=fds,
            new_session=True,
            death_signal=signal.SIGKILL,
        )
    except RaydpWrapError as error:
        raise TruthUnknownError(f"Spark's client could not be started: {error}") from error
    with client:
        timer = threading.Timer(deadline.left(), client.kill)
        timer.daemon = True
        timer.start()
        said = bytearray()
        stream: Any = client.stderr
        while piece := stream.read1(_CHUNK):
            said += piece
            del said[:-_LONGEST]
        code = client.wait()
        timer.cancel()
    return bytes(said), code if code >= 0 else None


def _state(said: bytes, driver: str) -> str:
    states = [state[2].decode() for state in _STATE.finditer(said) if state[1].decode(errors="replace") == driver]
    return states[-1] if states else ""


def _last_line(said: bytes, code: int | None) -> str:
    if code is None:
        return "Spark's client did not come to its end in time"
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    problems = [line for line in lines if "rror" in line or "xception" in line]
    return (problems or lines or [f"Spark's client exited with {code}"])[-1 if not problems else 0]

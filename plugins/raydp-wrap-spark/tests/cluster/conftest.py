from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class StandIn:
    """A web server that answers as a script says: by method and path, each answer once, the last for ever.

    An answer is ``(status, headers, body)`` or what writes one: ``answer(handler)``.
    """

    def __init__(self):
        self.script = {}
        self.asked = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self):
                length = int(self.headers.get("content-length") or 0)
                stand_in.answer(self, self.rfile.read(length))

            do_PUT = do_POST = do_GET  # noqa: N815 - http.server's names

            def log_message(self, format, *args):  # noqa: A002 - http.server's names
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def says(self, method, path, *answers):
        self.script[method, path] = list(answers)

    def answer(self, handler, body):
        self.asked.append((handler.command, handler.path, body, dict(handler.headers)))
        answers = self.script.get((handler.command, handler.path.partition("?")[0]), [(404, {}, b"{}")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            handler.close_connection = True
            answer(handler)
            return
        status, headers, body = answer
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def stand_in():
    """Make stand-ins for web servers."""
    made = []

    def make():
        made.append(StandIn())
        return made[-1]

    yield make
    for one in made:
        one.close()


PROGRAMS = Path(__file__).parents[1] / "programs"
BIN = Path(sys.executable).parent
WITHIN = 90.0
DRIVER = re.compile(r"driver-\d{14}-\d{4}")
_STARTED = re.compile(r"Successfully started service (?:'(\w+)' )?on port (\d+)")


class RealCluster:
    """A standalone master and a worker of Spark's own, on loopback and ports of their choice."""

    def __init__(self, directory, *, rest):
        self.directory = directory
        # With a REST gateway there can be no authentication; without one there is.
        self.defaults = "" if rest else "spark.authenticate true\nspark.authenticate.secret a-secret\n"
        (directory / "spark-defaults.conf").write_text(self.defaults)
        self.env = {**user_environment(), "SPARK_HOME": str(spark_home()), "SPARK_SCALA_VERSION": "2.13"}
        self.env["SPARK_CONF_DIR"] = str(directory)
        self._confs = [f"-D{'='.join(line.split())}" for line in self.defaults.splitlines()]
        self._processes = []
        common = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        ports = {}
        confs = [f"-Dspark.master.rest.enabled={str(rest).lower()}", "-Dspark.master.rest.port=0"]
        for line in self._start([*confs, "org.apache.spark.deploy.master.Master", *common]):
            ports.update(_STARTED.findall(line))
        self.master = f"127.0.0.1:{ports['sparkMaster']}"
        self.ui = f"http://127.0.0.1:{ports['MasterUI']}"
        self.rest = f"127.0.0.1:{ports['']}" if rest else None
        work = ["--cores", "4", "--memory", "2g", "--work-dir", str(directory / "work")]
        list(self._start(["org.apache.spark.deploy.worker.Worker", *common, *work, f"spark://{self.master}"]))

    def _start(self, words):
        """Yield what a daemon says until it is up."""
        process = subprocess.Popen(
            ["java", "-Xmx256m", *self._confs, "-cp", f"{spark_home()}/jars/*", *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        timer = threading.Timer(WITHIN, process.kill)
        timer.start()
        for line in process.stderr:
            yield line
            if "New state: ALIVE" in line or "Successfully registered with master" in line:
                break
        timer.cancel()
        threading.Thread(target=drain, args=(process.stderr,), daemon=True).start()

    def asked(self):
        """What the master's web UI says of everything."""
        with urllib.request.urlopen(f"{self.ui}/json/", timeout=30) as answer:
            return json.load(answer)

    def state(self, driver):
        """What the master says of DRIVER."""
        found = self.asked()
        return {one["id"]: one["state"] for one in found["activedrivers"] + found["completeddrivers"]}.get(driver)

    def wait_for(self, driver, state):
        """Wait until the master says STATE of DRIVER, which nothing announces."""
        until = time.monotonic() + WITHIN
        while (now := self.state(driver)) != state:
            assert time.monotonic() < until, f"{driver} is {now}"
            time.sleep(0.05)

    def close(self):
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stderr.close()


def drain(stream):
    """Keep who writes from waiting for us."""
    with contextlib.suppress(ValueError, OSError):  # closed under us
        while stream.read(8192):
            pass


def spark_home():
    return Path(importlib.util.find_spec("pyspark").origin).parent


def user_environment():
    """The user's environment with nothing of Spark's in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "RAYDP_"))}
    return {**kept, "PATH": f"{BIN}:{kept['PATH']}", "SPARK_LOCAL_IP": "127.0.0.1"}


@pytest.fixture(scope="module")
def driver_jar(tmp_path_factory):
    """A jar with ClusterDriver in it."""
    directory = tmp_path_factory.mktemp("jar")
    subprocess.run(["javac", "-d", directory, PROGRAMS / "ClusterDriver.java"], check=True)
    subprocess.run(["jar", "cf", "driver.jar", "ClusterDriver.class"], cwd=directory, check=True)
    return f"file:{directory / 'driver.jar'}"


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """A real master and worker for the module; its ``REST`` says whether the master has a REST gateway."""
    made = RealCluster(tmp_path_factory.mktemp("cluster"), rest=request.module.REST)
    yield made
    made.close()


class Submit:
    """``raydp-wrap spark-submit`` to a cluster, in cluster mode, with a file sink."""

    def __init__(self, cluster, jar, directory):
        self._jar = jar
        self._cluster = cluster
        self.directory = directory
        self.env = {
            **user_environment(),
            "SPARK_CONF_DIR": str(cluster.directory),
            "RAYDP_WRAP_HOME": str(directory / "home"),
            "RAYDP_WRAP_CLUSTER_UI": cluster.ui,
            "RAYDP_WRAP_SINKS": f"file:{directory / 'told.json'}",
        }

    def command(self, *words, confs=(), jar=None):
        gateway = self._cluster.rest or self._cluster.master
        confs = [*confs, *(["spark.master.rest.enabled=true"] if self._cluster.rest else [])]
        options = [word for conf in confs for word in ("--conf", conf)]
        where = ["--master", f"spark://{gateway}", "--deploy-mode", "cluster", "--driver-memory", "512m"]
        return [
            BIN / "raydp-wrap",
            "spark-submit",
            *where,
            *options,
            "--class",
            "ClusterDriver",
            jar or self._jar,
            *words,
        ]

    def run(self, *words, **how):
        return subprocess.run(self.command(*words, **how), env=self.env, capture_output=True, text=True, check=False)

    def start(self, *words, **how):
        """Start it, in the background; it ends with the test."""
        return subprocess.Popen(
            self.command(*words, **how), env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @contextlib.contextmanager
    def running(self, **how):
        """A wrapper that waits for a driver which goes on for ever, the driver's id, and its pid."""
        said = self.directory / "pid"
        with self.start("forever", str(said), **how) as wrapper:
            timer = threading.Timer(WITHIN, wrapper.kill)
            timer.start()
            driver = next(found[0] for line in wrapper.stderr if (found := DRIVER.search(line)))
            timer.cancel()
            threading.Thread(target=drain, args=(wrapper.stderr,), daemon=True).start()
            self._cluster.wait_for(driver, "RUNNING")
            until = time.monotonic() + WITHIN
            while not said.exists():
                assert time.monotonic() < until, "the driver did not start"
                time.sleep(0.05)
            try:
                yield wrapper, driver, int(said.read_text())
            finally:
                if wrapper.poll() is None:
                    wrapper.kill()

    def wait_for_outcome(self):
        """Wait until the sink has been told, which a delivery does when we have gone."""
        until = time.monotonic() + WITHIN
        while not (self.directory / "told.json").exists():
            assert time.monotonic() < until, "nobody has told how it ended"
            time.sleep(0.05)

    @property
    def outcome(self):
        return json.loads((self.directory / "told.json").read_text(encoding="utf-8"))

    @property
    def cluster_evidence(self):
        """What the cluster is on record with: (state, observation)."""
        pieces = [one for one in self.outcome["evidence"] if one["source"].startswith("standalone master")]
        assert len(pieces) == 1, self.outcome
        return pieces[0]


@pytest.fixture
def submit(cluster, driver_jar, tmp_path):
    return Submit(cluster, driver_jar, tmp_path)

"""The process that makes an archive: a training run, a dump, a look whether a JVM takes it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydp_wrap.process import DEVNULL, STDOUT, Process

from raydp_wrap_spark.faststart.archive import use_options
from raydp_wrap_spark.faststart.cache import Cache
from raydp_wrap_spark.faststart.jvm import Build
from raydp_wrap_spark.names import MAIN_CLASS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main", "make"]

_HEAP = ("-Xmx1g",)
_LARGE_HEAP = ("-Xmx33g", "-Xms256m")
_TOLD = 300
_TRAINING = Path(__file__).with_name("training.py")
# No conf file is read, nothing is kept, and nobody beyond this machine is asked.
_CONFS = {
    "spark.master": "local[2]",
    "spark.ui.port": "0",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.hadoop.fs.defaultFS": "file:///",
    "spark.eventLog.enabled": "false",
    "spark.sql.catalogImplementation": "in-memory",
}
_LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
"""


class _FailedError(Exception):
    """A step failed; the message says which, and what it said."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be made, as ``making`` writes it to our stdin."""

    directory: str
    key: str
    limit: int
    java: str
    major: int
    class_path: str
    options: tuple[str, ...]
    large: bool


def main() -> None:
    """Make what stdin asks for. Our guard holds the lock, and ends us when it takes too long."""
    _stand_back()
    request = Request(**json.load(sys.stdin))
    cache = Cache(Path(request.directory))
    try:
        make(request, cache, os.environ)
    except (_FailedError, OSError) as error:
        cache.note_try(request.key, f"{error}"[:_TOLD], again=False)
    finally:
        cache.clear_making()


def _stand_back() -> None:
    """Let everything else on this machine go first; of the disk, too: its class follows the scheduler's."""
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def make(request: Request, cache: Cache, env: Mapping[str, str]) -> None:
    """Make REQUEST's archive and keep it in CACHE, whose lock we have.

    Raises:
        _FailedError: a step failed.
        OSError: there is no room, or no permission.

    """
    began = time.time()
    cache.clear_making()
    work = cache.making
    work.mkdir(mode=0o700)
    for name in ("conf", "tmp", "work"):
        (work / name).mkdir()
    steps = _Steps(request, work, _environment(env, work))
    archive = steps.dump()
    if archive.stat().st_size > request.limit:
        raise _FailedError(f"it has {archive.stat().st_size >> 20} MB, more than jvm.cache.size allows")
    steps.check(archive)
    about = {"java": request.java, "major": request.major, "spark": env.get("SPARK_HOME", ""), "made_at": time.time()}
    cache.put(request.key, archive, {**about, "seconds": round(time.time() - began, 1)})
    cache.make_room(request.limit)


def _environment(env: Mapping[str, str], work: Path) -> dict[str, str]:
    full = {
        **env,
        "PYTHONHASHSEED": "0",
        "SPARK_ENV_LOADED": "1",
        "SPARK_CONF_DIR": str(work / "conf"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(work / "tmp"),
        "TMPDIR": str(work / "tmp"),
    }
    if not full.get("PYSPARK_PYTHON") and shutil.which("python3", path=full.get("PATH")) is None:
        full["PYSPARK_PYTHON"] = sys.executable
    return full


class _Steps:
    def __init__(self, request: Request, work: Path, env: Mapping[str, str]) -> None:
        self._request = request
        self._work = work
        self._env = env
        heap = _LARGE_HEAP if request.large else _HEAP
        self._jvm = ["-cp", request.class_path, *heap, *request.options]

    def dump(self) -> Path:
        """Train, and write the archive."""
        archive = self._work / "archive"
        if not Build(self._request.major, ()).aot:
            self._train(f"-XX:ArchiveClassesAtExit={archive}")
            return archive
        recorded = self._work / "recorded"
        self._train("-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}")
        self._java("the dump", "-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={archive}")
        recorded.unlink()
        return archive

    def check(self, archive: Path) -> None:
        """See that a JVM takes ARCHIVE as a run will give it, and does not only do without."""
        build = Build(self._request.major, ())
        insist = "-XX:AOTMode=on" if build.aot else "-Xshare:on"
        self._java("the check", *use_options(build, archive), insist, after=("-version",))

    def _train(self, *options: str) -> None:
        logging = self._work / "conf" / "training-log4j2.properties"
        logging.write_text(_LOGGING)
        confs = {**_CONFS, "spark.sql.warehouse.dir": str(self._work / "work"), "spark.local.dir": self._env["TMPDIR"]}
        arguments = [word for name, value in confs.items() for word in ("--conf", f"{name}={value}")]
        properties = self._work / "conf" / "nothing.properties"
        properties.touch()
        self._java(
            "the training run",
            *options,
            after=(
                f"-Djava.io.tmpdir={self._env['TMPDIR']}",
                f"-Dlog4j2.configurationFile={logging.as_uri()}",
                MAIN_CLASS,
                "--properties-file",
                str(properties),
                *arguments,
                str(_TRAINING),
                str(self._work / "work"),
            ),
        )

    def _java(self, step: str, *options: str, after: Sequence[str] = ()) -> None:
        said = self._work / "said"
        with said.open("wb") as output:
            process = Process(
                [self._request.java, *options, *self._jvm, *after],
                stdin=DEVNULL,
                stdout=output.fileno(),
                stderr=STDOUT,
                env=self._env,
                cwd=str(self._work / "work"),
                death_signal=signal.SIGKILL,
            )
        with process:
            code = process.wait()
        if code:
            raise _FailedError(f"{step} ended with {code}: {_last_words(said)}")


def _last_words(file: Path) -> str:
    """What a step said last; not what the JVM then said of classes that it leaves out."""
    lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
    return " / ".join([line for line in lines if line and not line.startswith("[")][-2:])[-_TOLD:] or "it said nothing"

"""A small pyspark in Spark's place: its JVM is a cat, which ends when we do, or when it is killed."""

from __future__ import annotations

import subprocess
import sys
import types


class Conf:
    def __init__(self, pairs):
        self._pairs = pairs

    def getAll(self):  # noqa: N802 - Spark's
        return list(self._pairs.items())


class Gateway:
    def __init__(self):
        self.proc = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


class SparkContext:
    applicationId = "local-17"  # noqa: N815 - Spark's
    appName = "an app"  # noqa: N815 - the same

    def __init__(self, **conf):
        self._gateway = Gateway()
        self._conf = Conf(conf)
        self._jsc = object()

    def getConf(self):  # noqa: N802 - Spark's
        return self._conf

    def stop(self):
        self._jsc = None

    def end_jvm(self):
        self._gateway.proc.kill()
        self._gateway.proc.communicate()


class SparkSession:
    def __init__(self, **conf):
        self.sparkContext = SparkContext(**conf)

    def stop(self):
        self.sparkContext.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def module():
    found = types.ModuleType("pyspark")
    found.SparkContext = SparkContext
    return found


def install():
    sys.modules["pyspark"] = module()

"""What this plugin raises, on top of the core's exceptions."""

from __future__ import annotations

from raydp_wrap.errors import RaydpWrapError, UsageError

__all__ = ["JavaNotFoundError", "RaydpNotFoundError", "SparkNotFoundError", "SubmitEndedError"]


class SparkNotFoundError(UsageError):
    """There is no usable Spark. Exits with 127, as spark-submit does for a wrong SPARK_HOME."""

    exit_code = 127


class JavaNotFoundError(UsageError):
    """There is no usable Java. Exits with 1, as spark-submit does."""

    exit_code = 1


class RaydpNotFoundError(UsageError):
    """There is no usable RayDP. Exits with 127, as without a Spark."""

    exit_code = 127

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "the master is ray, and RayDP was not found: pip install raydp (1.6.5 needs pyspark 3.1.1 to 3.5.7) in "
            "the application's environment, or name another master, such as --master 'local[*]'."
        )


class SubmitEndedError(RaydpWrapError):
    """The tool ended before there was anything to execute, and has said all there is to say.

    The message is empty: Spark's own text (an error, a usage) is on stdout and stderr already. A face prints
    nothing and exits with ``exit_code``, which may be 0.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code

    def __str__(self) -> str:
        return ""

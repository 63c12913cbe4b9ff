"""One tree of exceptions, each with the exit code of a command-line face."""

from __future__ import annotations

import errno
import inspect

import pytest

from raydp_wrap import errors

ALL = [getattr(errors, name) for name in errors.__all__]

pytestmark = pytest.mark.requirement("run-3.1")


def test_every_exception_is_listed_and_in_the_tree() -> None:
    defined = {n for n, v in vars(errors).items() if inspect.isclass(v) and v.__module__ == errors.__name__}
    assert set(errors.__all__) == defined
    assert all(issubclass(kind, errors.RaydpWrapError) for kind in ALL)


def test_exit_codes() -> None:
    codes = {kind.__name__: kind.exit_code for kind in ALL if kind.exit_code != 125}
    assert codes == {"CommandNotExecutableError": 126, "CommandNotFoundError": 127}


def test_a_failed_start_is_an_oserror_too() -> None:
    error = errors.CommandNotFoundError(errno.ENOENT, "x: command not found", "x", stage="exec")
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, errors.StartError)
    assert (error.errno, error.filename, error.stage) == (errno.ENOENT, "x", "exec")
    assert str(error) == "x: command not found"
    assert issubclass(errors.CommandNotExecutableError, PermissionError)


def test_what_ran_out_of_time_is_a_timeout() -> None:
    for kind in (errors.WaitTimeoutError, errors.StopPendingError, errors.GuardUnresponsiveError):
        assert issubclass(kind, TimeoutError)


def test_all_but_failed_starts_are_made_from_a_sentence() -> None:
    for kind in ALL:
        if not issubclass(kind, errors.StartError):
            assert str(kind("a sentence")) == "a sentence"

"""Command lines that Spark answers itself, on both sides."""

from __future__ import annotations

import pytest
from spark_sides import FASTER, OWN, assert_polite
from spark_table import BROKEN, COMMANDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.requirement("drop-in-1")
@pytest.mark.parametrize(("argv", "status"), COMMANDS, ids=str)
def test_it_answers_as_spark_submit(pair, argv, status):
    argv = [str(pair.jar) if word == "JAR" else word for word in argv]
    stock, ours = (run.ended() for run in pair.start(argv, env=FASTER))
    assert (stock.status, ours.status) == (status, status)
    assert (ours.stdout, ours.stderr) == (stock.stdout, stock.stderr)
    assert_polite(ours)


@pytest.mark.requirement("drop-in-1")
@pytest.mark.parametrize(("env", "argv", "status"), BROKEN, ids=str)
def test_a_broken_installation_ends_as_with_spark_submit(pair, env, argv, status):
    stock, ours = (run.ended() for run in pair.start(argv, env=env))
    assert (stock.status, ours.status) == (status, status)
    assert ours.stdout == stock.stdout
    # The shell's messages are about its own lines; the JVM's are the same.
    theirs = [line for line in stock.stderr.splitlines() if ": line " not in line]
    assert ours.stderr.splitlines() == theirs
    assert all(line.startswith(OWN) for line in ours.own)
    assert_polite(ours)

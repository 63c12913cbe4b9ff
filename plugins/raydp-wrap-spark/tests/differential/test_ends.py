"""Every row of the table, measured on both sides."""

from __future__ import annotations

import signal

import pytest
from spark_sides import FASTER, assert_polite
from spark_table import ROWS, Seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run_one(run, row):
    if row.signals:
        run.told()
    for target, number in row.signals:
        run.send(target, number)
        if number == signal.SIGQUIT:
            run.wait_for("Full thread dump")
    expected = row.stock if run.name == "stock" else row.ours
    return run.ended(expected.left)


@pytest.mark.requirement("drop-in-1", "drop-in-4")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_ends_as_the_table_says(pair, row):
    runs = pair.start(pair.application(row.app, row.end), env=FASTER, ignore=row.ignore)
    stock, ours = (run_one(run, row) for run in runs)
    assert Seen(stock.status, stock.left) == row.stock, stock.stderr
    assert Seen(ours.status, ours.left) == row.ours, ours.stderr
    assert (row.stock == row.ours) == (not row.why)
    assert ours.stderr == stock.stderr
    if row.races:
        assert ours.stdout.startswith(stock.stdout) or stock.stdout.startswith(ours.stdout)
    else:
        assert ours.stdout == stock.stdout
    assert_polite(ours)

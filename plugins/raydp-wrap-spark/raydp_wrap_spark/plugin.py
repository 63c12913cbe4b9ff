"""The plugin's hooks, and nothing else: everything behind them is imported when they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydp_wrap.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import click
    from raydp_wrap.model import Launch


@hookimpl
def raydp_wrap_build_launch(tool: str, argv: Sequence[str], env: Mapping[str, str]) -> Launch | None:
    """Know ``spark-submit`` and ``raydp-submit``."""
    if tool == "spark-submit":
        from raydp_wrap_spark.submit import spark_submit  # noqa: PLC0415 - only its users should pay

        return spark_submit(argv, env)
    if tool == "raydp-submit":
        from raydp_wrap_spark.raydp import raydp_submit  # noqa: PLC0415 - the same

        return raydp_submit(argv, env)
    return None


@hookimpl
def raydp_wrap_commands() -> Mapping[str, Callable[[], click.Command]]:
    """Bring ``raydp-wrap shim``."""

    def shim() -> click.Command:
        from raydp_wrap_spark.shim import command  # noqa: PLC0415 - the same

        return command()

    return {"shim": shim}

"""``raydp-wrap plugins``, and the commands that plugins bring: imported when they are called, and not before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from programs.installed import HOOKS, distribution, hook, plugin

import raydp_wrap

ROOT = Path(raydp_wrap.__file__).parent.parent

COMMANDS = """
from raydp_wrap.hookspecs import hookimpl
def hello():
    import click, heavy
    @click.command(help="Say hello.\\n\\nAnd more.")
    @click.option("--code", type=int, default=0)
    def hello(code):
        click.echo("hello")
        return code
    return hello
def refuse():
    import click
    from raydp_wrap.errors import UsageError
    @click.command(help="Refuse \\x1b[31mred\\x1b[0m.")
    def refuse():
        raise UsageError("not today: come back tomorrow.")
    return refuse
def broken():
    raise RuntimeError("broken \\x1b[31mred\\x1b[0m")
def hidden():
    import click
    return click.Command("hidden", hidden=True)
@hookimpl
def raydp_wrap_commands():
    return {"hello": hello, "refuse": refuse, "broken": broken, "run": hello, "hidden": hidden}
"""

Called = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    # Whoever imports this is seen.
    (site / "heavy.py").write_text("import sys\nprint('HEAVY', file=sys.stderr)\n")
    return site


@pytest.fixture
def call(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Called:
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "-spark")
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "raydp_wrap", *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env, cwd=tmp_path)

    return call


TAKEN = "raydp-wrap: plugin 'mine' is not heeded in raydp_wrap_commands: 'run' is one of raydp-wrap's own\n"


@pytest.mark.requirement("hook-commands", "plugin-3.5")
def test_a_command_is_imported_when_it_is_called(site: Path, call: Called) -> None:
    plugin(site, "mine", COMMANDS)
    done = call("hello", "--code", "3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "hello\n", f"{TAKEN}HEAVY\n")
    done = call("refuse")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == f"{TAKEN}raydp-wrap: not today: come back tomorrow.\n"


@pytest.mark.requirement("hook-commands", "fault-38")
def test_a_broken_command_is_one_sentence(site: Path, call: Called) -> None:
    plugin(site, "mine", COMMANDS)
    done = call("broken")
    assert (done.returncode, done.stdout) == (125, "")
    said = "raydp-wrap: command 'broken' of plugin 'mine' can't be made: RuntimeError('broken \\x1b[31mred\\x1b[0m')\n"
    assert done.stderr == TAKEN + said


@pytest.mark.requirement("plugin-3.3", "plugin-3.4", "fault-38")
def test_help_has_a_line_for_each(site: Path, call: Called) -> None:
    plugin(site, "mine", COMMANDS)
    plugin(site, "worse", "raise SystemExit(7)")
    done = call("--help")
    assert done.returncode == 0
    lines = {
        line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.partition("Commands:")[2].split("\n") if line
    }
    assert {"doctor", "plugins", "run", "spark-submit", "hello", "refuse", "broken"} <= lines.keys()
    assert "hidden" not in lines
    assert lines["hello"] == "Say hello."
    assert lines["refuse"] == "Refuse \\x1b[31mred\\x1b[0m."
    assert lines["broken"].startswith("(broken: command 'broken' of plugin 'mine' can't be made:")
    assert "own" not in lines["run"]
    assert done.stderr.count("'worse' is skipped") == 1
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.requirement("plugin-3.3")
def test_a_wrong_choice_does_not_take_the_help_away(call: Called) -> None:
    done = call("--help", RAYDP_WRAP_PLUGINS="a,-b")
    assert done.returncode == 0
    assert "  run " in done.stdout
    assert done.stderr.startswith("raydp-wrap: RAYDP_WRAP_PLUGINS=a,-b can't be obeyed")
    done = call("no-such-command", RAYDP_WRAP_PLUGINS="a,-b")
    assert done.returncode == 125
    assert done.stderr.startswith("raydp-wrap: RAYDP_WRAP_PLUGINS=a,-b can't be obeyed")


EAGER = f"import heavy\n{hook('event(event)', 'pass')}"


@pytest.mark.requirement("plugin-3.5")
@pytest.mark.parametrize(
    "arguments", [["--version"], ["run", "--help"], ["plugins", "--help"], ["doctor", "--help"], ["run", "--no-such"]]
)
def test_no_plugin_is_imported_for_what_needs_none(site: Path, call: Called, arguments: list[str]) -> None:
    plugin(site, "eager", EAGER)
    done = call(*arguments)
    assert "HEAVY" not in done.stderr
    assert "HEAVY" in call("plugins").stderr  # it would be seen


@pytest.mark.requirement("plugin-3.5")
def test_a_run_imports_no_command_of_a_plugin(site: Path, call: Called) -> None:
    plugin(site, "mine", COMMANDS)
    done = call("run", "--", "true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


WHICH = """
import sys
from raydp_wrap.cli import main
code = main(sys.argv[1:])
seen = {"click", "pluggy", "importlib.metadata", "typing", "apsw"}
print(*sorted(seen & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.requirement("plugin-3.5")
@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [(["--version"], set()), (["run", "--", "true"], {"click", "typing", "apsw"})],
)
def test_what_a_start_imports(arguments: list[str], heavy: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDP_WRAP_PLUGINS", "none")
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{WHICH}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stderr.splitlines()[-1].split()) <= heavy, done.stderr


@pytest.mark.requirement("plugin-3.3")
def test_what_is_loaded_and_what_is_not(site: Path, call: Called) -> None:
    file = plugin(site, "mine", COMMANDS.replace('"run": hello, ', ""))
    source = "def raydp_wrap_sinks(): return {'smoke': print, 'fire': print}\n@hookimpl\ndef raydp_wrap_event(): pass\n"
    plugin(site, "more", f"{HOOKS}@hookimpl\n{source}")
    plugin(site, "broken", "raise RuntimeError('at import')")
    plugin(site, "blocked", "raise RuntimeError('never imported')")
    distribution(site, "torn-1.dist-info", "[raydp_wrap]\nnonsense\n")
    (site / "more-1.dist-info" / "METADATA").write_bytes(b"\xff\xfe\0")
    done = call("plugins", RAYDP_WRAP_PLUGINS="-spark,-blocked")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("spark ")]
    assert lines[0].split() == ["NAME", "STATE", "DISTRIBUTION", "FILE"]
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "blocked left out blocked 1 -\nwhy: RAYDP_WRAP_PLUGINS leaves it out\n" in text
    assert "broken skipped broken 1 -\nwhy: RuntimeError('at import')\n" in text
    assert f"mine loaded mine 1 {file}\nhooks: raydp_wrap_commands\ncommands: broken, hello, hidden, refuse\n" in text
    assert f"more loaded more 1 {site}/more.py\nhooks: raydp_wrap_event, raydp_wrap_sinks\nsinks: fire, smoke\n" in text
    assert lines[-1].startswith(f"problem: {site}/torn-1.dist-info is skipped: its entry_points.txt is broken")


@pytest.mark.requirement("plugin-3.3")
def test_the_same_as_json(site: Path, call: Called) -> None:
    file = plugin(site, "mine", COMMANDS)
    done = call("plugins", "--json", RAYDP_WRAP_PLUGINS="mine,missing")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    (row,) = (row for row in found["plugins"] if row["state"] == "loaded")
    assert row == {
        "name": "mine",
        "state": "loaded",
        "why": None,
        "distribution": "mine",
        "version": "1",
        "object": "mine",
        "file": str(file),
        "hooks": ["raydp_wrap_commands"],
        "sinks": [],
        "backends": [],
        "commands": ["broken", "hello", "hidden", "refuse"],
    }
    assert found["problems"] == [
        "plugin 'missing' is in RAYDP_WRAP_PLUGINS and not installed",
        "plugin 'mine' is not heeded in raydp_wrap_commands: 'run' is one of raydp-wrap's own",
    ]


@pytest.mark.requirement("fault-38")
def test_nothing_of_a_plugin_reaches_the_terminal_raw(site: Path, call: Called) -> None:
    nasty = "x\x1b]0;title\x07\u202e"
    distribution(site, "mine-1.dist-info", f"[raydp_wrap]\n{nasty} = mine\n", version="\x1b[31m1")
    (site / "mine.py").write_text(hook("sinks()", f"return {{{nasty!r}: print}}"))
    plugin(site, "broken", f"raise RuntimeError({nasty!r})")
    plugin(site, "worse", f"from raydp_wrap.errors import UsageError\nraise UsageError({nasty!r})")
    distribution(site, f"{nasty}torn-1.dist-info".replace("/", ""), "[raydp_wrap]\nnonsense\n")
    for arguments in (["plugins"], ["plugins", "--json"], ["doctor"], ["--help"], ["nope"]):
        done = call(*arguments)
        shown = done.stdout + done.stderr
        assert "RuntimeError" in shown or arguments == ["--help"], arguments
        assert all(c.isprintable() or c == "\n" for c in shown), arguments


def test_none_is_installed(call: Called) -> None:
    done = call("plugins", PYTHONPATH=str(ROOT))
    if "spark" not in done.stdout.split():
        assert done.stdout == (
            "no plugin is installed: pip install raydp-wrap-spark brings spark-submit and raydp-submit\n"
        )


FAULTS = {
    "raises": "raise ValueError('fault')",
    "exits": "raise SystemExit(0)",
    "prints": "print('fault')",
    "hangs": "import threading; threading.Event().wait()",  # once, in the first event: it is not asked again
    "lies": "return 7",
}


@pytest.mark.requirement("fault-35")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_the_same_whatever_its_plugins_do(site: Path, call: Called, tmp_path: Path, fault: str) -> None:
    source = "\n".join(
        hook(signature, FAULTS[fault]) for signature in ("edit_launch()", "event()", "evidence()", "sinks()")
    )
    plugin(site, "faulty", source)
    done = call("run", "--name", "x", "--report", str(tmp_path / "report"), "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert "fault" in done.stderr
    found = json.loads((tmp_path / "report").read_text())
    assert (found["state"], found["exit_code"], found["reason"]) == ("FAILED", 7, "AppFailed")

"""How sinks are named, split, kept and shown."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_wrap.backend import Answer, Sink, Verdict
from raydp_wrap.errors import PluginError, UsageError
from raydp_wrap.sinks import canonical, parse, printable, redacted, schemes, split
from raydp_wrap.sinks.file import File

if TYPE_CHECKING:
    from raydp_wrap.model import Report

pytestmark = pytest.mark.requirement("sink-4.4")


class Mine(Sink):
    def __init__(self, text: str) -> None:
        self.given = text

    def deliver(self, report: Report) -> Answer:
        return Answer(Verdict.ACCEPTED, report.key)


class Kept(Mine):
    @property
    def text(self) -> str | None:
        return "kept"


class Broken(Mine):
    @property
    def text(self) -> str | None:
        raise KeyError("hunter2")


class OwnError(UsageError):
    """Would end raydp-wrap as if the job had ended well."""

    exit_code = 0


def test_the_cores_come_first_and_a_plugins_are_found() -> None:
    brought = {"mine": Mine, "file": Mine}
    assert schemes(brought) == ("file", "webhook", "exec", "mine")
    assert isinstance(parse("file:/x", brought).sink, File)
    named = parse("mine:a:b", brought)
    assert isinstance(named.sink, Mine)
    assert named.sink.given == "a:b"
    assert canonical(*named) == "mine:a:b"
    assert canonical(*parse("k:a", {"k": Kept})) == "k:kept"


@pytest.mark.parametrize(
    "text", ["", "hunter2", ":hunter2", "htp:hunter2", "https://u:hunter2@h", "/x:hunter2", "\x1b[:hunter2", "file"]
)
def test_what_names_no_sink_is_refused_naming_those_there_are(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, {"mine": Mine})
    message = str(caught.value)
    assert "file:, webhook:, exec:, mine:" in message
    assert "hunter2" not in message
    assert message.isprintable()


def raises(_: str) -> Sink:
    raise KeyError("hunter2")


def refuses(_: str) -> Sink:
    raise UsageError("give an address.")


def test_a_plugin_that_fails_is_named() -> None:
    with pytest.raises(PluginError, match="x: failed with KeyError") as caught:
        parse("x:", {"x": raises})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(PluginError, match="x: answered with int"):
        parse("x:", {"x": lambda _: 3})  # type: ignore[dict-item,return-value]
    with pytest.raises(UsageError, match="give an address"):
        parse("x:", {"x": refuses})
    with pytest.raises(PluginError, match=r"x: can't say what to keep of it: KeyError$"):
        canonical(*parse("x:", {"x": Broken}))


@pytest.mark.requirement("fault-35", "plugin-3.4")
@pytest.mark.parametrize(("error", "words"), [(SystemExit(0), "SystemExit"), (OwnError("say it so"), "say it so")])
def test_the_plugin_s_text_cannot_end_us(error: BaseException, words: str) -> None:
    class Ends(Mine):
        @property
        def text(self) -> str | None:
            raise error

    with pytest.raises((PluginError, UsageError), match=f"{words}$") as caught:
        canonical("x:", Ends(""))
    assert caught.value.exit_code == 125


@pytest.mark.requirement("fault-35")
def test_a_factory_that_exits_cannot_end_us() -> None:
    def ends(_: str) -> Sink:
        raise SystemExit(0)

    with pytest.raises(PluginError, match="x: failed with SystemExit"):
        parse("x:", {"x": ends})


@pytest.mark.requirement("fault-35")
def test_a_text_that_is_none_is_refused() -> None:
    class Number(Mine):
        text = 7  # type: ignore[assignment]

    with pytest.raises(PluginError, match="TypeError"):
        canonical("x:", Number(""))


def test_lines() -> None:
    assert split("file:/a,file:/b\n\n  \r\n webhook:https://h/?a=1,2 \n") == [
        "file:/a,file:/b",
        "webhook:https://h/?a=1,2",
    ]
    assert split("") == []


def test_commas_split_only_before_a_known_scheme() -> None:
    text = "file:/a,b,webhook:https://h/?a=1,2, exec:tell x,y:z,mine:,ray:auto"
    known = schemes({"mine": Mine})
    assert split(text, known) == ["file:/a,b", "webhook:https://h/?a=1,2", "exec:tell x,y:z", "mine:,ray:auto"]
    assert split(text, (*known, "ray"))[-2:] == ["mine:", "ray:auto"]


@given(st.lists(st.tuples(st.sampled_from(["file", "webhook", "exec"]), st.text("ab/, =?", min_size=1)), max_size=4))
def test_what_was_joined_is_split_again(parts: list[tuple[str, str]]) -> None:
    names = [f"{scheme}:x{rest}x" for scheme, rest in parts]
    assert split("\n".join(names)) == names
    assert split(",".join(names), schemes()) == names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("file:/tmp/a b", "file:/tmp/a b"),
        ("file:/tmp/\x1b[31m", "file:/tmp/\\x1b[31m"),
        ("exec:/bin/tell", "exec:/bin/tell"),
        ("exec:tell -H 'Bearer hunter2'", "exec:tell …"),
        ("exec:TOKEN=hunter2 tell", "exec:… …"),
        ("exec:'hunter2", "exec:…"),
        ("exec:", "exec:"),
        ("webhook:https://h", "webhook:https://h"),
        ("webhook:https://h:8443/", "webhook:https://h:8443"),
        ("webhook:https://hooks.example/services/hunter2", "webhook:https://hooks.example/…"),
        ("webhook:https://u:hunter2@[::1]:8/x", "webhook:https://[::1]:8/…"),
        ("webhook:https://h?key=hunter2", "webhook:https://h/…"),
        ("webhook:https://u:12/hunter2@h/x", "webhook:…"),
        ("webhook:https://u:hunter2/x@h/y", "webhook:…"),
        ("webhook:hunter2", "webhook:…"),
        ("webhook:https://hunter2!/y", "webhook:…"),
        ("ray:", "ray:"),
        ("ray:hunter2", "ray:…"),
        ("ray:http://u:hunter2@head:8265", "ray:http://head:8265"),
        ("hunter2", "…"),
        ("Hunter2:x", "…"),
    ],
)
def test_what_people_see(text: str, shown: str) -> None:
    assert redacted(text) == shown


@given(
    st.sampled_from(["webhook", "ray", "exec"]),
    st.text(st.characters(exclude_characters="\0"), max_size=8),
    st.text("ab:/@?#[]%&= '\"\\,;1", max_size=12),
    st.text("ab:/@?#[]%&= '\"\\,;1", max_size=12),
)
def test_a_password_is_never_seen(scheme: str, user: str, before: str, after: str) -> None:
    for text in (f"https://{user}:{before}hunter2{after}@h/p", f"https://h/{user}{before}hunter2{after}"):
        line = f"tell {text}" if scheme == "exec" else text
        assert "hunter2" not in redacted(f"{scheme}:{line}")


@given(st.text(), st.integers(2, 50), st.booleans())
def test_what_is_printable_is_short_and_harmless(text: str, limit: int, end: bool) -> None:  # noqa: FBT001
    line = printable(text, limit, end=end)
    assert len(line) <= limit
    assert line.isprintable()
    assert printable("x" * 50, 50, end=end) == "x" * 50


def test_only_what_is_named_is_imported() -> None:
    code = (
        "import sys; from raydp_wrap.sinks import parse, split; parse('file:/x', {}); split('a'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"ssl", "http", "http.client", "urllib.request", "raydp_wrap.sinks.webhook", "raydp_wrap.sinks.command"}
    assert heavy & set(done.stdout.split()) == set()
    assert "raydp_wrap.sinks.file" in done.stdout.split()

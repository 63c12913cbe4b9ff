"""RAYDP_WRAP_PLUGINS picks or blocks by name."""

from __future__ import annotations

import pytest

from raydp_wrap.errors import UsageError
from raydp_wrap.plugins.choice import parse


@pytest.mark.requirement("plugin-3.3")
@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("", {"spark", "ray", "x"}),
        ("  ", {"spark", "ray", "x"}),
        (",", {"spark", "ray", "x"}),
        ("spark", {"spark"}),
        (" spark , ray ,", {"spark", "ray"}),
        ("-ray", {"spark", "x"}),
        ("-ray, -x", {"spark"}),
        ("-not-here", {"spark", "ray", "x"}),
        ("none", set()),
        (" none ", set()),
        ("not-here", set()),
    ],
)
def test_who_is_wanted(text: str, admitted: set[str]) -> None:
    choice = parse(text)
    assert {name for name in ("spark", "ray", "x") if choice.admits(name)} == admitted


@pytest.mark.requirement("plugin-3.3")
@pytest.mark.parametrize("text", ["spark,-ray", "-ray,spark", "none,spark", "none,-spark", "-"])
def test_a_mix_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=f"RAYDP_WRAP_PLUGINS={text} can't be obeyed: name"):
        parse(text)

import pytest

from raydp_wrap_spark.arguments import restored


@pytest.mark.parametrize(
    ("command", "given", "expected"),
    [
        ([b"java", b"app", b"?"], [b"app", b"\xff"], [b"java", b"app", b"\xff"]),
        ([b"java", b"app", b"\xef\xbf\xbd"], [b"app", b"\xff"], [b"java", b"app", b"\xff"]),
        (
            [b"java", b"app", b"???? ok", b""],
            [b"app", b"\xc3\xa4\xc3\xa4 ok", b""],
            [b"java", b"app", b"\xc3\xa4\xc3\xa4 ok", b""],
        ),
        ([b"java", b"app", b"a", b"b"], [b"app", b"a\r", b"\rb"], [b"java", b"app", b"a\r", b"\rb"]),
        ([b"java", b"app", b"why?"], [b"app", b"why?"], [b"java", b"app", b"why?"]),
        ([b"java", b"--usage-error"], [b"--x", b"\xff"], [b"java", b"--usage-error"]),
        ([b"java", b"?", b"other"], [b"\xff", b"app"], [b"java", b"?", b"other"]),
        ([], [b"\xff"], []),
        ([b"java"], [], [b"java"]),
    ],
)
def test_the_tail_is_as_it_was_given(command, given, expected):
    assert restored(command, given) == expected

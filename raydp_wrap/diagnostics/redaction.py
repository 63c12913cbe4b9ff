"""The values of secrets hidden: in settings, options, JSON, YAML, XML, Python's reprs, headers and addresses.

Rather a value too many than one too few. What is not a value (a traceback's files, an exception's name) stays.
"""

from __future__ import annotations

import re

__all__ = ["redact"]

_HIDDEN = "***"
_NOTHING = {"", "None", "null", _HIDDEN}
_LONGEST_NOTHING = 4
_PASSES = 3

_WORDS = r"passw(?:or)?d|passphrase|pwd|token(?!iz)|secret|credential|access[._-]?key|api[._-]?key|private[._-]?key"
_PARTS = "|".join(
    rf"(?<![A-Za-z]){part}(?![a-z])|{part.capitalize()}(?![a-z])|(?<![A-Z]){part.upper()}(?![A-Z])"
    for part in ("key", "pass")  # as a part of a name only: neither monkey nor passed
)
_SCAN = re.compile(
    rf"(?P<word>(?i:{_WORDS}))"
    rf"|(?P<part>{_PARTS})"
    r"|(?P<header>(?i:authorization|cookie))"
    r"|(?P<signature>[?&](?i:x-amz-signature|signature|sig)=)"
    r"|(?P<bearer>\b(?i:bearer)[ \t]+(?=[\w.~+/=-]{8}))"
    r"|(?P<address>://)"
    r"|(?P<pem>-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----)"
)
# One of these, in lower case, is wherever the pattern finds something.
_SIGNS = ("pass", "pwd", "token", "secret", "credential", "key", "authorization", "cookie", "sig", "bearer", "://")

_IN_NAME = re.compile(r"[\w.$-]")
_INDENT = re.compile(r"""[ \t"'-]""")
_BACKSLASH = re.compile(r"\\")
_IN_PATH = re.compile(r"[\w.$/~-]")
_REST = re.compile(r"(?:[\w.$]|-(?!>))*")
# The name's own closing quote comes first, escaped in JSON within JSON: group 1.
_SEPARATOR = re.compile(r"""(\\*["'`])?[\])]?[ \t]*([-=]>|→|[!:+<>]?={1,3}|:(?!:))[ \t]*""")
_AGAIN = re.compile(r"""["'`)\]}>]*[ \t]*=(?!=)[ \t]*""")
_QUOTED_COMMA = re.compile(r"""\\*["'],[ \t]*(?=[bBuUrR]{0,2}\\*["'])""")
_OPTION_BLANK = re.compile(r"[ \t]+(?=[^\s-])")

# A property's value after a blank, as in spark-defaults.conf; no log line's thread, file or dash.
_PROPERTY_BLANK = re.compile(r"[ \t]+(?![(\[{]|-+(?:[ \t]|\Z))(?=\S)")
_PROPERTY_DOTS = 2
_SAYS = re.compile(
    r"(?:is|was|are|were|be|has|have|had|must|should|shall|will|would|can|cannot|can't|could|may|might|does|did|needs|"
    r"requires?d?|not|no|and|or|in|to|for|from|of|with|without|by|at|on|as|if|which|that|thrown|failed|found)"
    r"(?:[.,;:]|[ \t]+\S|\s*\Z)"
)

_XML_VALUE = re.compile(r"[ \t]*<value(?:[ \t][^<>]*)?>")
_XML_NEXT = re.compile(r"</?(?:property|name|value)\b")

_NO_NAME = re.compile(r"(?:Error|Exception|Warning|\.\w+\$\w+)\Z")
_SOURCE = re.compile(r"\.(?:py|pyx|java|scala|kt|go|rs|c|cc|cpp|h|js|ts|rb|sh|sql|R)\Z")

_OPEN = re.compile(r"""[bBuUrRfF]{0,2}("{3}|'{3}|\\*["'`])""")
_STOP = re.compile(r"[\s&,;]", re.ASCII)
_NEXT_NAME = re.compile(r"""[&,;]["']?[\w.-]+["']?[=:]""")
_BRACKET = re.compile(r"[\[\](){}]")
_BRACKETS = ("[", "{", "(")
_QUOTES = ('"', "'", "`")
_CLOSERS = "\"'`)]}>,;"

_USERINFO = re.compile(r"""[^\s/@:"<>]*:(?=[^\s/@"<>])([^\s/"<>]*)@""")
_PEM_LINE = re.compile(r"""[ \t>|"']*(?:([A-Za-z0-9+/=]+)[ \t\r"'\\,]*|(?:Proc-Type|DEK-Info):.*|)""")


def redact(text: str) -> str:
    """TEXT with ``***`` for the values of secrets, line by line."""
    lines = text.split("\n")
    in_pem = in_property = False
    for number, line in enumerate(lines):
        pem = _PEM_LINE.fullmatch(line) if in_pem else None
        if pem and pem[1]:
            lines[number] = line[: pem.start(1)] + _HIDDEN + line[pem.end(1) :]
            continue
        in_pem = pem is not None
        if in_property and (value := _XML_VALUE.match(line)):
            line = lines[number] = _of_property(line, value.end())  # noqa: PLW2901 - what follows it is looked at, too
        in_property = in_property and not _XML_NEXT.search(line)
        low = line.lower()
        # Most lines hold nothing of it, and this finds out far sooner than the pattern does.
        if any(sign in low for sign in _SIGNS):
            lines[number], begins_pem, begins_property = _redacted(line)
            in_pem, in_property = in_pem or begins_pem, in_property or begins_property
    return "\n".join(lines)


def _of_property(line: str, at: int) -> str:
    """LINE without the text of the XML element that begins AT."""
    scanned = _Line(line)
    scanned.element(at)
    return scanned.rest()


def _redacted(line: str) -> tuple[str, bool, bool]:
    """LINE redacted; whether it begins a private key of several lines, or an XML property whose value comes later."""
    # What was hidden may have kept an address from being seen as one with a password in it.
    for _ in range(_PASSES):
        scanned = _Line(line)
        before, line = line, scanned.redacted()
        if line == before:
            break
    return line, scanned.in_pem, scanned.in_property


class _Line:
    """Goes through a line once. Nobody looks back beyond ``floor``, where the last find ended: the time is linear."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.floor = 0
        self.in_pem = False
        self.in_property = False
        self._path = (0, 0)  # of the last name, and the name's end
        self._pieces: list[str] = []
        self._copied = 0

    def redacted(self) -> str:
        while (found := _SCAN.search(self.text, self.at)) is not None:
            self.floor, self.at = self.at, found.end()
            kind = str(found.lastgroup)
            if kind == "address":
                if user := _USERINFO.match(self.text, self.at):
                    self.hide(user.start(1), user.end(1))
            elif kind == "pem":
                end = self.text.find("-----END", self.at)
                self.in_pem = end < 0
                self.hide(self.at, len(self.text) if end < 0 else end)
            elif kind in ("bearer", "signature"):
                self.plain(self.at)
            else:
                self.named(found.start(), kind)
        return self.rest()

    def rest(self) -> str:
        """What is hidden so far, and the rest as it is."""
        return "".join((*self._pieces, self.text[self._copied :]))

    def hide(self, start: int, end: int) -> None:
        """Replace what lies from START to END, if it is anything, and go on behind it."""
        if end - start > _LONGEST_NOTHING or self.text[start:end] not in _NOTHING:
            self._pieces += (self.text[self._copied : start], _HIDDEN)
            self._copied = end
        self.at = end

    def back(self, at: int, kind: re.Pattern[str]) -> int:
        """The start of the run of KIND that ends at AT."""
        while at > self.floor and kind.match(self.text, at - 1):
            at -= 1
        return at

    def named(self, word: int, kind: str) -> None:
        """Hide the value of the name that WORD is in, whichever way it follows the name."""
        text, start = self.text, self.back(word, _IN_NAME)
        rest = _REST.match(text, self.at)
        self.at = end = rest.end() if rest else self.at
        path = self.back(start, _IN_PATH)
        if path == self.floor == self._path[1]:
            path = self._path[0]
        self._path = (path, end)
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            self.listed(start, end, kind)
        elif separator[2] != ":" or self.has_value(text[path:start], text[start:end], separator.end()):
            whole = kind == "header" or (separator[2] == ":" and self.back(start, _INDENT) == 0)
            self.value(separator.end(), None if separator[1] else start, whole_line=whole)
            while again := _AGAIN.match(text, self.at):  # token: str = "abc"
                self.value(again.end(), None)

    def has_value(self, path: str, name: str, at: int) -> bool:
        """Whether a colon after NAME, which PATH stands before, makes what is AT its value."""
        text = self.text
        if _NO_NAME.search(name) or (_SOURCE.search(name) and text[at : at + 1].isdigit() and text[at - 1] == ":"):
            return False
        return not (path.startswith(("/", "./", "../", "~/")) or path.count("/") > 1)

    def listed(self, start: int, end: int, kind: str) -> None:
        """Hide a value that only stands behind its name.

        As in ``--name value``, ``"name", "value"``, ``(name,value)``, ``a.b.name value`` and
        ``<name>name</name><value>value</value>``.
        """
        text = self.text
        strong = kind != "part" or "." in text[start:end] or text.startswith("-", start)
        if strong and (comma := _QUOTED_COMMA.match(text, end)):
            self.value(comma.end(), None)
        elif text.startswith("-", start) and (blank := _OPTION_BLANK.match(text, end)):
            self.value(blank.end(), None)
        elif text.startswith(",", end) and text[start - 1 : start] == "(" and "." in text[start:end]:
            self.plain(end + 1)
        elif text.startswith("</name>", end):
            behind = end + len("</name>")
            if value := _XML_VALUE.match(text, behind):
                self.element(value.end())
            else:
                self.in_property = not _XML_NEXT.search(text, behind)
        elif (blank := _PROPERTY_BLANK.match(text, end)) and self.is_property(start, end, blank.end()):
            self.value(blank.end(), None, whole_line=self.back(start, _INDENT) == 0)

    def is_property(self, start: int, end: int, at: int) -> bool:
        """Whether the name from START to END is a property's, and AT is no verb that goes on about it."""
        name = self.text[start:end]
        if name.strip(".").count(".") < _PROPERTY_DOTS or name.endswith(".") or self.text[start - 1 : start] == "/":
            return False
        return not (_NO_NAME.search(name) or _SOURCE.search(name) or _SAYS.match(self.text, at))

    def element(self, at: int) -> None:
        """Hide the text of the XML element that begins AT."""
        end = self.text.find("</", at)
        self.hide(at, len(self.text) if end < 0 else end)

    def value(self, at: int, start: int | None, *, whole_line: bool = False) -> None:
        """Hide the value that begins AT; the name begins at START, where no quote has closed it."""
        text = self.text
        opening = _OPEN.match(text, at)
        if opening is not None:
            self.at = opening.end()
            end = self.closing(opening[1])
            self.hide(opening.end(), len(text) if end is None else end)
            self.at += 0 if end is None else len(opening[1])
            return
        self.at = at
        if start is not None and text[start - 1 : start] in _QUOTES and start > self.floor:
            end = self.closing(text[self.back(start - 1, _BACKSLASH) : start])
            if end is not None:
                self.hide(at, end)
                return
        if whole_line:
            self.hide(at, at + len(text[at:].rstrip(_CLOSERS + " \t\r")))
        elif text[at : at + 1] in _BRACKETS:
            self.plain(at, self.balanced(at))
        else:
            self.plain(at)

    def closing(self, quote: str) -> int | None:
        """Where QUOTE, which may have backslashes of its own, stands unescaped and not doubled."""
        text, at = self.text, self.at
        while (found := text.find(quote, at)) >= 0:
            at = found + len(quote)
            back = found
            while back > self.at and text[back - 1] == "\\":
                back -= 1
            single = len(quote) == 1
            if found == back or (single and (found - back) % 2 == 0):
                if not single or not text.startswith(quote, at):
                    return found
                at += 1
        return None

    def balanced(self, at: int) -> int:
        """Where the bracket AT is closed, or the line's end."""
        depth = 0
        for bracket in _BRACKET.finditer(self.text, at):
            depth += 1 if bracket[0] in _BRACKETS else -1
            if not depth:
                return bracket.end()
        return len(self.text)

    def plain(self, at: int, sure: int = 0) -> None:
        """Hide the word AT, which lasts at least until SURE, to a blank or to what looks like the next name."""
        text, stop = self.text, max(at, sure)
        while (found := _STOP.search(text, stop)) is not None:
            if found[0].isspace() or _NEXT_NAME.match(text, found.start()):
                break
            stop = found.end()
        end = found.start() if found else len(text)
        self.hide(at, max(sure, at + len(text[at:end].rstrip(_CLOSERS))))

"""The first exception in a text, and its root cause: Python's tracebacks, Java's stack traces, one in the other."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Raised", "first_exception"]

_SUFFIX = r"(?:Error|Exception|Exit|Failure|Fault|Group|Interrupt|Iteration|Throwable|Timeout|Warning)"
_NAME = r"[^\W\d]\w*(?:\.(?:\w+|<locals>))*(?:\(\w+\))?"  # RayTaskError(ZeroDivisionError) is a class
_CLASS = r"(?:[^\W\d][\w$]*\.)*[^\W\d][\w$]*"

_HEADER = re.compile(r"(\+ Exception Group )?\bTraceback \(most recent call last\):$")
_FILE = re.compile(r'\s+File ".*", line \d+')
_FINAL = re.compile(rf"{_NAME}(?::(?:\s.*)?)?$")
# Without a header before it, less will do than any word at all.
_LIKELY = re.compile(rf"(?:{_NAME}{_SUFFIX}(?:\(\w+\))?|{_SUFFIX}|(?:\w+\.)*[A-Z]\w*(?=: ))(?::(?:\s.*)?)?$")
_BARE = re.compile(r"(?:[^\W\d]\w*\.)*\w*(?:Error|Exception|KeyboardInterrupt)(?:\(\w+\))?(?::(?:\s.*)?)?$")
_LINKS = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_IGNORED = "Exception ignored "
_FATAL = "Fatal Python error: "

_DRAWN = re.compile(r"\s*(?:\| ?|\+ (?=Exception Group ))")
_OPENING = re.compile(r"\s*\+-\+-+ 1 -+$")
_CLOSING = re.compile(r"\s*\+-+$")
_SEPARATOR = re.compile(r"\s*\+-[+-]")

_FRAME = re.compile(r"\s+at (?:async |new )?[^\s(]+ ?\(")
_JAVA_LINE = re.compile(rf'(?:Exception in thread "[^"]*" )?({_CLASS}(?::\s.*)?)$')
_IN_LOG_LINE = re.compile(r"(?:^|[\s:(])((?:[a-z_]\w*\.)+(?=[A-Z])[\w$]*(?:Exception|Error|Throwable)(?::\s.*)?)$")
_JAVA_SUFFIX = re.compile(rf"(?:[\w$]+\.)+[\w$]*{_SUFFIX}(?::|$)")
_THREAD = 'Exception in thread "'
_CAUSED = "Caused by: "
_DRIVER = "Driver stacktrace:"
_JVM = "JVM stacktrace:"
_MESSAGE = 20  # lines of a Java message that may precede its first frame
_LONGEST = 250  # characters of a class's name

# What a Ray driver prints for its workers.
_WORKER = re.compile(r"\((?:[\w.:-]+ ){0,4}pid=\d+(?:, ip=[\w.:]+)?\) ?")

_DEEPEST = 16  # traces in traces: what is nested deeper is a bomb


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception as its first line says it, and the innermost one that led to it."""

    text: str
    root: str | None = None

    @property
    def innermost(self) -> str:
        """Its root, which may be itself."""
        return self.root or self.text


def first_exception(lines: list[str]) -> Raised | None:
    """The first exception that LINES show; one that Python ignored only where there is no other.

    LINES are of bounded length. Each is looked at a bounded number of times.
    """
    return _Reader(lines).first()


def _raised(text: str, root: str | None) -> Raised:
    return Raised(text, root if root != text else None)


def _tidy(text: str) -> str:
    """TEXT without a traceback's header at its end."""
    header = _HEADER.search(text)
    return (text[: header.start()] if header else text).rstrip(" :\t")


class _Reader:
    """Reads on from line ``at``, never back: what was read in vain is not read again."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [line[m.end() :] if (m := _WORKER.match(line)) else line for line in lines]
        self.at = 0
        self.depth = 0

    def line(self, ahead: int = 0) -> str | None:
        number = self.at + ahead
        return self.lines[number] if 0 <= number < len(self.lines) else None

    def first(self) -> Raised | None:
        ignored = None
        while (line := self.line()) is not None:
            start = self.at
            found = self.here(line) if line else None
            if found is not None:
                if not (self.lines[start - 1] if start else "").startswith(_IGNORED):
                    return found
                ignored = ignored or found
            self.at = max(self.at, start + 1)
        bare = next((line for line in self.lines if _BARE.match(line)), None)
        return ignored or (Raised(_tidy(bare)) if bare else None)

    def here(self, line: str) -> Raised | None:
        """The exception whose trace begins at this line, if one does."""
        top = self.java_top(line)
        if top is not None:
            return self.java(top)
        if _HEADER.search(line) or _FILE.match(line):
            return self.chain()
        if line in _LINKS:
            before = self.line(-2) or ""
            self.linked()
            return self.chain(Raised(_tidy(before))) if _LIKELY.match(before) else None
        if line.startswith(_FATAL):
            self.at += 1
            return Raised(line)
        return None

    def chain(self, earlier: Raised | None = None, *, bare: bool = False, in_java: bool = False) -> Raised | None:
        """The exception raised last of those that are linked to each other, from this line on.

        Its root is what it brought along itself, then what the one before brought, and so on, then the first.
        """
        if self.depth >= _DEEPEST:
            self.at += 1
            return None
        self.depth += 1
        links = [earlier] if earlier else []
        while (link := self.block(bare=bare, in_java=in_java)) is not None:
            links.append(link)
            if not self.linked():
                break
        self.depth -= 1
        if not links:
            return None
        brought = next((link.root for link in reversed(links) if link.root), None)
        return _raised(links[-1].text, brought or links[0].text)

    def linked(self) -> bool:
        """Step over a link between two exceptions, if this is one."""
        line = self.line()
        if line is None or _undrawn(line) not in _LINKS:
            return False
        self.at += 1
        while (line := self.line()) is not None and not _undrawn(line).strip():
            self.at += 1
        return True

    def block(self, *, bare: bool, in_java: bool) -> Raised | None:
        """One traceback from its header, or its first file, to where something else begins."""
        first = self.line()
        if first is None:
            return None
        header = _HEADER.search(first)
        group = bare or bool(header and (header[1] or _DRAWN.match(first)))
        prefix = first[: header.start()] if header and not group else ""

        def view(line: str) -> str:
            return _undrawn(line) if group else line.removeprefix(prefix)

        self.at += bool(header)
        began = self.at
        while (line := self.line()) is not None and view(line)[:1].isspace():
            self.at += 1
        expected = _FINAL if header or (bare and self.at == began) else _LIKELY
        if line is None or not expected.match(view(line)):
            return None
        self.at += 1
        text = _tidy(view(line))
        return _raised(text, self.message(text, group=group, in_java=in_java))

    def message(self, text: str, *, group: bool, in_java: bool) -> str | None:
        """Step over the rest of a message; the root that it tells of."""
        began, root = self.at, None
        while (line := self.line()) is not None:
            plain = _undrawn(line) if group else line
            nested: Raised | None = None
            at = self.at
            if plain in _LINKS or (in_java and (_FRAME.match(line) or line.startswith((_CAUSED, _DRIVER)))):
                break
            if group and _SEPARATOR.match(line):
                if not _OPENING.match(line):
                    break
                self.at += 1
                nested = self.chain(bare=True)
                self.leave_group(line)
            elif self.at == began and _FILE.match(plain):
                nested = self.chain(in_java=in_java)
            elif self.at == began and line.startswith(": "):
                nested = self.java(line[2:])
            elif line == _JVM:
                self.at += 1
                twin = self.java(self.line() or "")
                root = root or twin.root
            elif _HEADER.search(plain):
                if root is not None or "PythonException" not in text.partition(":")[0]:
                    break
                nested = self.chain(in_java=in_java)
            root = root or (nested.innermost if nested else None)
            if self.at == at:
                self.at += 1
        return root

    def leave_group(self, opening: str) -> None:
        """Step over the drawing of a group's members: to a closing line that none of them follows.

        A group that is its parent's last member closes both.
        """
        inside = opening.index("+-+") + 2
        while (line := self.line()) is not None:
            self.at += 1
            following = self.line() or ""
            corner = len(following) - len(following.lstrip())
            member = following[corner:].startswith(("|", "+")) and corner >= inside
            if _CLOSING.match(line) and not member:
                return

    def java_top(self, line: str) -> str | None:
        """The exception that a Java stack trace beginning at this line is of."""
        following = self.line(1) or ""
        framed = bool(_FRAME.match(following))
        match = _JAVA_LINE.match(line)
        if match and (framed or line.startswith(_THREAD) or following.startswith(_CAUSED)):
            return match[1]
        if match and _names_java(line) and (_HEADER.search(line) or self.framed_below()):
            return match[1]
        if framed or _HEADER.search(line):
            match = _IN_LOG_LINE.search(line)
            return match[1] if match else None
        return None

    def framed_below(self) -> bool:
        for ahead in range(2, _MESSAGE):
            line = self.line(ahead)
            if line is None or _names_java(line) or _HEADER.search(line):
                return False
            if _FRAME.match(line):
                return True
        return False

    def java(self, text: str) -> Raised:
        """One stack trace from its first line, which says TEXT, to where something else begins."""
        root = self.python_in_java(text)
        framed, message = False, 0
        while (line := self.line()) is not None:
            if line.startswith(_CAUSED):
                cause = line.removeprefix(_CAUSED)
                root = self.python_in_java(cause) or _tidy(cause)
                framed, message = False, 0
                continue
            if _FRAME.match(line):
                framed = True
            elif line and not line[0].isspace() and line != _DRIVER:
                message += 1
                if framed or message > _MESSAGE or line in _LINKS:
                    break
            self.at += 1
        return _raised(_tidy(text), root)

    def python_in_java(self, text: str) -> str | None:
        """Step over the line that says TEXT; the root of the Python traceback that begins on it."""
        if not _HEADER.search(text):
            self.at += 1
            return None
        nested = self.chain(in_java=True)
        return nested.innermost if nested else None


def _names_java(line: str) -> bool:
    return _JAVA_SUFFIX.match(line[:_LONGEST]) is not None


def _undrawn(line: str) -> str:
    """LINE without an exception group's drawing."""
    match = _DRAWN.match(line)
    return line[match.end() :] if match else line

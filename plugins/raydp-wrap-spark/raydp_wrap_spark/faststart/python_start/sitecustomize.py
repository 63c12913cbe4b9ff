# noqa: INP001 - a directory for the application's path, no package
"""Read by the application's Python as it starts: what it compiles of Spark's own zip files is kept for the next one.

Spark has its Python import pyspark from a zip file with sources only, and each start compiles them anew. Sources are
read as ever; only the compiler is spared, and only where the very same text was compiled under the same name by the
same Python. Apart from that, the application sees nothing of this: not on its path, not in its environment, and a
sitecustomize of its own is read as ever. Any Python that Spark can use must be able to read it.
"""

from __future__ import annotations

import os
import sys

_SPARKS = ("pyspark", "py4j-")
_LETTERS_OF_HASH = 8
_PRIVATE_DIRECTORY = 0o040000
_KIND_AND_OTHERS = 0o170077

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType


def _directory() -> str:
    """Where ``faststart.compiled`` made room, or nothing: it must be ours, and nobody else's to write to."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    directory = os.path.join(base, "raydp-wrap", "python")
    try:
        found = os.lstat(directory)
    except OSError:
        return ""
    private = found.st_uid == os.geteuid() and found.st_mode & _KIND_AND_OTHERS == _PRIVATE_DIRECTORY
    return directory if private else ""


def _install(directory: str) -> None:
    # All three are part of the interpreter itself. Spark's sources come by the name that is replaced here.
    import marshal  # noqa: PLC0415 - only where there is something to do
    import zipimport  # noqa: PLC0415 - the same
    from _imp import source_hash  # noqa: PLC0415 - the same

    compile_source: Callable[[str, bytes], CodeType] = zipimport._compile_source  # type: ignore[attr-defined] # noqa: SLF001 - there is no other way in
    python = f"{sys.version} {sys.hexversion} {sys.flags.optimize} "

    def compiled(pathname: str, source: bytes) -> CodeType:
        zip_file = pathname.partition(".zip" + os.sep)[0]
        if not zip_file.rpartition("/")[2].startswith(_SPARKS) or type(source) is not bytes:
            return compile_source(pathname, source)
        name = source_hash(1, (python + pathname).encode("utf-8", "surrogateescape") + b"\0" + source).hex()
        file = os.path.join(directory, name)
        try:
            with open(file, "rb") as kept:
                content = kept.read()
            # After a power cut a file may have holes, and what reads it next has no mercy.
            if content[:_LETTERS_OF_HASH] == source_hash(2, content[_LETTERS_OF_HASH:]):
                code: CodeType = marshal.loads(content[_LETTERS_OF_HASH:])  # noqa: S302 - it is ours, and private
                return code
        except (OSError, ValueError, EOFError, TypeError):
            pass
        code = compile_source(pathname, source)
        data = marshal.dumps(code)
        _keep(file, source_hash(2, data) + data)
        return code

    zipimport._compile_source = compiled  # type: ignore[attr-defined] # noqa: SLF001 - the same


def _keep(file: str, content: bytes) -> None:
    temporary = f"{file}.{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as opened:
                opened.write(content)
            os.replace(temporary, file)
        except OSError:
            os.unlink(temporary)
    except OSError:
        pass  # only the speed of later starts is at stake


def _step_aside() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    sys.path_importer_cache.pop(here, None)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path != here]
    if any(paths):
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    else:
        os.environ.pop("PYTHONPATH", None)
    ours = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found] # noqa: F401, PLC0415 - now the one behind this
    except ImportError:
        sys.modules[__name__] = ours


try:
    _place = _directory()
    if _place:
        _install(_place)
except Exception:  # noqa: BLE001, S110 - a Python that has it otherwise starts as ever
    pass
_step_aside()

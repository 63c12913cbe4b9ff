"""Imports run downward only, and the few doors are the only ones."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "raydp_wrap"
PLUGINS = ROOT / "plugins"

# From the bottom up; a module imports from its own package and from the floors below, not from its neighbours.
FLOORS: list[set[str]] = [
    {"", "_native"},
    {"model"},
    {"errors", "diagnostics"},
    {"checks", "moment"},
    {"request"},
    {"job"},
    {"outcome", "process", "backend", "watch"},
    {"hookspecs", "retry"},
    {"plugins", "store"},
    {"home", "notes", "runs", "sinks", "terminal"},
    {"settings"},
    {"reporter", "watching", "workers"},
    {"repair", "ownership"},
    {"foreground", "tracking", "deliver", "doctor", "local"},
    {"supervisor"},
    {"client"},
    {"cli", "notebook", "rest"},
    {"__main__", "testing"},
]

Import = tuple[str, str, int]  # from whom, what, on which line


def module_name(path: Path, top: Path) -> str:
    parts = list(path.relative_to(top.parent).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imports(path: Path, top: Path) -> list[Import]:
    """Every import, wherever it stands: in functions and under TYPE_CHECKING too."""
    name = module_name(path, top)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return imports_of(ast.parse(path.read_text(encoding="utf-8")), name, package)


def imports_of(tree: ast.AST, name: str, package: str) -> list[Import]:
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name, alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found += [(name, f"{base}.{alias.name}", node.lineno) for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, (ast.Name, ast.Attribute))
            and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr) in ("import_module", "__import__")
        ):
            target = node.args[0] if node.args else None
            text = target.value if isinstance(target, ast.Constant) else "?"
            found.append((name, str(text), node.lineno))
    return found


def floor_of(name: str) -> int | None:
    """The floor of a module of ours, by the part of its name below the package."""
    part = name.removeprefix("raydp_wrap").removeprefix(".").partition(".")[0]
    for number, members in enumerate(FLOORS):
        if part in members:
            return number
    return None


CORE_FILES = sorted(CORE.rglob("*.py"))
CORE_MODULES = {module_name(path, CORE) for path in CORE_FILES} | {"raydp_wrap._native"}
CORE_IMPORTS = [found for path in CORE_FILES for found in imports(path, CORE)]


def target_module(what: str) -> str:
    """The module that `from module import name` reaches."""
    while what not in CORE_MODULES and "." in what:
        what = what.rpartition(".")[0]
    return what


def upward(found: list[Import]) -> list[str]:
    wrong = []
    for name, what, line in found:
        if not (what == "raydp_wrap" or what.startswith("raydp_wrap.")):
            continue
        target = target_module(what)
        if name == "raydp_wrap":  # the package's face, which imports when it is asked
            continue
        here, there = floor_of(name), floor_of(target)
        same = target.split(".")[:2] == name.split(".")[:2]
        if here is None or there is None or there > here or (here == there and not same):
            wrong.append(f"{name}:{line} imports {target}")
    return wrong


@pytest.mark.requirement("project-5.2")
def test_every_module_has_a_floor() -> None:
    assert sorted(name for name in CORE_MODULES if floor_of(name) is None) == []


@pytest.mark.requirement("project-5.2")
def test_imports_run_downward() -> None:
    assert upward(CORE_IMPORTS) == []


@pytest.mark.requirement("project-5.2")
def test_only_process_touches_the_extension() -> None:
    users = {name for name, what, _ in CORE_IMPORTS if what.startswith("raydp_wrap._native")}
    assert {name for name in users if not name.startswith("raydp_wrap.process")} == set()
    assert users, "nobody uses the extension: this test sees nothing"


@pytest.mark.requirement("project-5.2")
def test_what_is_private_to_process_stays_there() -> None:
    wrong = []
    for name, what, line in CORE_IMPORTS:
        target = target_module(what)
        private = any(part.startswith("_") for part in target.split(".")[1:])
        if private and target.split(".", 2)[:2] != name.split(".", 2)[:2] and not name.startswith("raydp_wrap.process"):
            wrong.append(f"{name}:{line} imports {target}")
    assert wrong == []


@pytest.mark.requirement("project-5.2")
def test_only_plugins_makes_a_plugin_manager() -> None:
    makers = [
        module_name(path, CORE)
        for path in CORE_FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("PluginManager")
    ]
    assert makers == ["raydp_wrap.plugins.registry"]


@pytest.mark.requirement("project-5.2")
def test_only_the_store_touches_sqlite() -> None:
    users = {name for name, what, _ in CORE_IMPORTS if what.partition(".")[0] in ("apsw", "sqlite3")}
    assert {name for name in users if not name.startswith("raydp_wrap.store")} == set()


def plugin_packages() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for init in sorted(PLUGINS.glob("*/*/__init__.py")):
        if init.parent.name not in ("tests", "build"):
            found[init.parent.name] = sorted(init.parent.rglob("*.py"))
    return found


@pytest.mark.requirement("project-5.2")
def test_the_core_never_imports_a_plugin() -> None:
    packages = set(plugin_packages()) | {"raydp_wrap_spark", "raydp_wrap_ray", "raydp_wrap_kubernetes"}
    assert [found for found in CORE_IMPORTS if found[1].partition(".")[0] in packages] == []


def public_names(module: str) -> set[str]:
    """A module's __all__; for one that has none, what it defines without an underscore."""
    parts = module.split(".")[1:]
    path = (
        CORE.joinpath(*parts, "__init__.py")
        if CORE.joinpath(*parts).is_dir()
        else CORE.joinpath(*parts[:-1], parts[-1] + ".py")
    )
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
        if isinstance(node, ast.Assign):
            defined |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
    return {name for name in defined if not name.startswith("_")}


@pytest.mark.requirement("project-5.2")
def test_plugins_import_only_public_names() -> None:
    wrong = []
    for package, files in plugin_packages().items():
        for path in files:
            for name, what, line in imports(path, path.parents[len(path.relative_to(PLUGINS).parts) - 3]):
                if what.partition(".")[0] != "raydp_wrap":
                    continue
                module = target_module(what)
                rest = what[len(module) :].lstrip(".")
                private = any(part.startswith("_") for part in what.split("."))
                if private or (rest and rest not in public_names(module)):
                    wrong.append(f"{package}: {name}:{line} imports {what}")
    assert wrong == []


def parsed(source: str, name: str) -> list[Import]:
    return imports_of(ast.parse(source), name, name.rpartition(".")[0])


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("raydp_wrap.outcome", "from raydp_wrap import foreground"),
        ("raydp_wrap.outcome", "def f():\n    from raydp_wrap.cli import main"),
        ("raydp_wrap.model", "if TYPE_CHECKING:\n    from raydp_wrap.outcome import decide"),
        ("raydp_wrap.process.guard", "from ..runs import Run"),
        ("raydp_wrap.plugins", "import raydp_wrap.home"),
        ("raydp_wrap.runs", "import importlib; importlib.import_module('raydp_wrap.cli')"),
        ("raydp_wrap.home", "from raydp_wrap.terminal import Terminal"),
        ("raydp_wrap.outcome", "from raydp_wrap.process import Guard"),
    ],
)
def test_what_is_wrong_is_seen(name: str, source: str) -> None:
    assert upward(parsed(source, name)) != []

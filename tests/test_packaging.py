"""What a newcomer installs: sdist and wheel hold what they must and work in a clean environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPARK = ROOT / "plugins" / "raydp-wrap-spark"

BUILT = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "*.so", "raydp-guard", "__pycache__")

SMOKE = """
import json, os, raydp_wrap.process as p, raydp_wrap.model as m
import raydp_wrap.process.guard as g
assert os.access(g.GUARD_PATH, os.X_OK), g.GUARD_PATH
assert p.Process(["sh", "-c", "exit 3"]).wait() == 3
with p.Guard.start(m.Launch(("sh", "-c", "sleep 600 & exit 4"))) as guard:
    record = guard.wait()
assert record.driver.code == 4 and record.tree_empty
print(json.dumps(p.probe().method))
"""


def interpreters() -> list[str]:
    """Every Python of a supported version that is here and runs."""
    found = [sys.executable]
    for minor in range(10, 15):
        path = shutil.which(f"python3.{minor}")
        if path is None or minor == sys.version_info.minor:
            continue
        probe = [path, "-c", "import ensurepip, sys; print(sys.version_info[1])"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == str(minor):
            found.append(path)
    return found


def run(*argv: str | Path, **more: object) -> str:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return str(done.stdout)


def clean_environment(where: Path, python: str) -> Path:
    if python == sys.executable:
        venv.create(where, with_pip=True, clear=True)
    else:
        run(python, "-m", "venv", where)
    return where / "bin"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist of the core, the wheel built from the sdist as `python -m build` does."""
    top = tmp_path_factory.mktemp("built")
    binaries = clean_environment(top / "venv", sys.executable)
    run(binaries / "python", "-m", "pip", "install", "--quiet", "build")
    source = top / "source"
    shutil.copytree(ROOT, source, ignore=BUILT)
    run(binaries / "python", "-m", "build", "--outdir", top / "dist", source)
    return top / "dist"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("project-5.1")
def test_wheel_and_sdist_hold_extension_and_guard(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert "-cp310-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        guard = archive.getinfo("raydp_wrap/raydp-guard")
    assert "raydp_wrap/_native.abi3.so" in names
    assert "raydp_wrap/py.typed" in names
    assert guard.external_attr >> 16 & 0o111, "the guard is not executable in the wheel"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"csrc/raydp_proc.h", "csrc/guard/main.c", "csrc/build_native.py", "setup.py", "LICENSE"} <= held


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("project-5.1")
@pytest.mark.parametrize("python", interpreters())
def test_the_wheel_works_in_a_clean_environment(built: Path, tmp_path: Path, python: str) -> None:
    binaries = clean_environment(tmp_path / "venv", python)
    (wheel,) = built.glob("*.whl")
    run(binaries / "python", "-m", "pip", "install", "--quiet", wheel)
    env = {**os.environ, "RAYDP_WRAP_HOME": str(tmp_path / "home")}
    run(binaries / "python", "-W", "error", "-c", SMOKE, cwd=tmp_path, env=env)
    out = run(binaries / "raydp-wrap", "run", "--json", "--", "echo", "hello", cwd=tmp_path, env=env)
    said, _, outcome = out.splitlines()
    assert said == "hello"
    assert json.loads(outcome)["state"] == "FINISHED"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.requirement("project-5.1")
@pytest.mark.parametrize("how", [(), ("--editable",)])
def test_a_checkout_installs(tmp_path: Path, how: tuple[str, ...]) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=BUILT)
    binaries = clean_environment(tmp_path / "venv", sys.executable)
    spark = source / SPARK.relative_to(ROOT)
    run(binaries / "python", "-m", "pip", "install", "--quiet", *how, source, *how, spark)
    env = {**os.environ, "RAYDP_WRAP_HOME": str(tmp_path / "home")}
    run(binaries / "python", "-c", SMOKE, cwd=tmp_path, env=env)
    done = subprocess.run(
        [binaries / "raydp-submit"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode != 0


@pytest.mark.requirement("project-5.2")
def test_the_project_is_whole() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / "raydp_wrap" / "py.typed").exists()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    import raydp_wrap  # noqa: PLC0415

    assert f"## {raydp_wrap.__version__}" in changelog
    assert os.access(ROOT / ".ci" / "run", os.X_OK)

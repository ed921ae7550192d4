"""The architecture page describes the packages, steps and folders that exist."""

from __future__ import annotations

import re

from tests.docs.pages import DOCS
from tumorml.settings import PROJECT_ROOT

PAGE = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")


def test_page_lists_every_package() -> None:
    packages = {path.parent.name for path in (PROJECT_ROOT / "tumorml").glob("*/__init__.py")}
    assert {name for name in packages if f"| `{name}` |" not in PAGE} == set()


def test_every_step_of_the_page_exists() -> None:
    steps = re.findall(r"^\| `([a-z_.]+)\.([a-z_]+)` \|", PAGE, re.M)
    assert len(steps) >= 17
    missing = []
    for module, function in steps:
        path = PROJECT_ROOT / "tumorml" / f"{module.replace('.', '/')}.py"
        if not path.exists() or f"\ndef {function}(" not in path.read_text(encoding="utf-8"):
            missing.append(f"{module}.{function}")
    assert missing == []


def test_every_module_of_the_page_exists() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| [^|]* \| ([^|]*) \|$", PAGE, re.M)
    missing = [
        f"{package}/{name}"
        for package, modules in rows
        for name in re.findall(r"`([a-z0-9_]+)/?`", modules)
        if (PROJECT_ROOT / "tumorml" / package).is_dir()
        and not (PROJECT_ROOT / "tumorml" / package / name).is_dir()
        and not (PROJECT_ROOT / "tumorml" / package / f"{name}.py").exists()
    ]
    assert missing == []


def test_page_explains_every_folder_of_many_modules() -> None:
    folders = {path.parent for root in ("tumorml", "tests", "dags", "benchmarks", "migrations")
               for path in (PROJECT_ROOT / root).rglob("*.py")}  # fmt: skip
    large = {
        folder.relative_to(PROJECT_ROOT).as_posix()
        for folder in folders
        if len(list(folder.glob("*.py"))) > 12
    }
    assert {folder for folder in large if f"| `{folder}` |" not in PAGE} == set()

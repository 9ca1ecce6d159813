"""The tree as a reader finds it: one name per class, no retired word, and docs that name files that exist."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "recsys").rglob("*.py"))
RETIRED = Path(__file__).with_name("retired_words.txt")
TEXT = {".py", ".md", ".toml", ".sh", ".js", ".css", ".j2", ""}


def test_a_public_class_name_stands_for_one_thing() -> None:
    homes = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_retired_words_stay_out() -> None:
    words = [line for line in RETIRED.read_text().splitlines() if line and not line.startswith("#")]
    retired = re.compile(r"(?<![A-Za-z0-9_])(?:" + "|".join(words) + r")(?![A-Za-z0-9_])")
    folders = ("recsys", "dags", "examples", "benchmarks", "conf", "docs", "infra", "tests")
    files = [p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in TEXT and p.is_file()]
    files += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := retired.search(line))
    ]
    assert found == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_the_docs_name_exist(page: str) -> None:
    folders = "recsys|dags|examples|tests|infra|conf|docs|benchmarks"
    named = set(re.findall(rf"\b(?:{folders})/[\w./-]*\w", (ROOT / page).read_text()))
    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_the_readmes_tree_is_the_tree() -> None:
    tree = (ROOT / "README.md").read_text().split("## Where things are")[1].split("```")[1]
    folders: dict[int, Path] = {-1: ROOT}
    missing = []
    for indent, names in re.findall(r"^( *)((?:[\w/.]+, )*[\w/.]+)", tree, re.M):
        parent = folders[max(depth for depth in folders if depth < len(indent))]
        folders[len(indent)] = parent / names
        missing += [name for name in names.split(", ") if not (parent / name).exists()]
        folders = {depth: folder for depth, folder in folders.items() if depth <= len(indent)}
    assert missing == []


def test_the_tests_that_security_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text())
    assert named
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []

"""Print how large each package is, in Python statements: line breaks and comments do not count."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def num_statements(path: Path) -> int:
    """Return the number of statements in the file at ``path``."""
    return sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(path.read_text())))


def main() -> None:
    """Print one line: the totals, then the packages of ``recsys`` from the largest down."""
    totals = {
        top: sum(map(num_statements, (ROOT / top).rglob("*.py")))
        for top in ("recsys", "tests", "dags", "examples", "benchmarks")
    }
    packages = {
        folder.name: sum(map(num_statements, folder.rglob("*.py")))
        for folder in (ROOT / "recsys").iterdir()
        if (folder / "__init__.py").exists()
    }
    print("statements:", ", ".join(f"{name} {count:,}" for name, count in totals.items()))
    largest_first = sorted(packages.items(), key=lambda package: -package[1])
    print("  recsys:", ", ".join(f"{name} {count:,}" for name, count in largest_first))


if __name__ == "__main__":
    main()

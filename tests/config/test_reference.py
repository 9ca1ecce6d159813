"""The configuration page is what the code says."""

from pathlib import Path

from recsys.config import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == reference.markdown(), "run: recsys config --reference > docs/configuration.md"


def test_every_setting_is_described() -> None:
    bare = [
        line for line in reference.markdown().splitlines() if line.startswith("| `") and line.endswith("|  |")
    ]
    assert bare == []

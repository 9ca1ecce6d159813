"""A notifier that writes its words to a file, at once or in the triggerer."""

from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class FileNotifier(BaseNotifier):  # type: ignore[misc]
    """Appends a line to a file."""

    template_fields = ("words",)

    def __init__(self, path: str, words: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path, self.words = path, words

    def notify(self, context: Any) -> None:
        """Write from where a run failed."""
        self._write(f"failed: {self.words}")

    async def async_notify(self, context: Any) -> None:
        """Write from the triggerer."""
        self._write(f"late: {self.words}")

    def _write(self, line: str) -> None:
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

"""The configuration of the whole pipeline: one TOML file, one section per stage, all optional.

    from recsys.config import load
    config = load("conf/demo.toml")

This is the one place that reads the environment:

    RECSYS_CONFIG        path of the TOML file, when none is given
    RECSYS_WORKSPACE     overrides ``workspace.root``
    RECSYS_QDRANT_URL    overrides ``index.url`` and selects the Qdrant server
    QDRANT_API_KEY       key for that server
    RECSYS_DATABASE_URL  overrides ``search.database``, password included

Relative paths in the file are relative to the file's own folder, so a config and its data move together.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from recsys.config.base import Section
from recsys.config.catalog import CatalogConfig
from recsys.config.embedding import EmbeddingConfig
from recsys.config.encoder import EncoderConfig
from recsys.config.evaluation import EvaluationConfig
from recsys.config.index import IndexConfig
from recsys.config.monitoring import MonitoringConfig
from recsys.config.search import SearchConfig
from recsys.config.training import TrainingConfig
from recsys.errors import ConfigError

__all__ = [
    "CatalogConfig", "Config", "EmbeddingConfig", "EncoderConfig", "EvaluationConfig", "IndexConfig",
    "MonitoringConfig", "SearchConfig", "Section", "TrainingConfig", "WorkspaceConfig", "load",
]  # fmt: skip

_ENVIRONMENT = {
    "RECSYS_WORKSPACE": ("workspace", "root"),
    "RECSYS_QDRANT_URL": ("index", "url"),
    "QDRANT_API_KEY": ("index", "api_key"),
    "RECSYS_DATABASE_URL": ("search", "database"),
}


class WorkspaceConfig(Section):
    """Where artifacts live."""

    root: str = "workspace"
    """A local folder, or a URL such as ``s3://bucket/prefix``."""
    cache: str | None = None
    """Local folder for copies of remote artifacts; needed only when ``root`` is a URL."""
    scrub_days: float = Field(default=7.0, ge=0)
    """The night reads an artifact again, to compare it with its checksums, when it was not read for so many
    days; 7 reads about a seventh of the workspace each night, at some 500 MB/s per core."""
    keep_days: float = Field(default=7.0, ge=2)
    """Housekeeping deletes what nothing needs any more and was neither made nor used for so many days. Every
    refresh that finds a change makes a snapshot; at least 2, which is longer than any run takes."""
    keep_reports_days: float = Field(default=365.0, ge=2)
    """The same for reports; those of the last ``monitoring.nights`` nights say what is usual."""
    lease_s: float = Field(default=120.0, ge=10)
    """Where ``root`` is an object store: after so many seconds without a sign of the machine that publishes,
    ingests or cleans up, the next one that waits takes over. 60 to 600; a machine that pauses for longer
    begins again."""


class Config(Section):
    """All settings. Built by :func:`load`; frozen."""

    name: str = "products"
    """What this catalog is called in reports."""
    seed: int = Field(default=0, ge=0)
    """Seeds every random choice; the same inputs and seed give the same result."""
    base_dir: SkipJsonSchema[Path] = Path()
    """Folder that relative paths are resolved against; set by :func:`load`."""
    workspace: WorkspaceConfig = WorkspaceConfig()
    catalog: CatalogConfig = CatalogConfig()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    index: IndexConfig = IndexConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    search: SearchConfig = SearchConfig()

    def resolve(self, path: str) -> str:
        """Return ``path`` made absolute against the config's folder; URLs and absolute paths as they are."""
        if "://" in path:
            return path
        return str((self.base_dir / Path(path).expanduser()).resolve())


def load(path: str | Path | None = None) -> Config:
    """Read, complete from the environment and validate the configuration.

    ``path`` defaults to ``$RECSYS_CONFIG``; with neither, the defaults apply and paths are relative to
    the current folder. Raises :class:`ConfigError` that names every wrong key at once.
    """
    chosen = path or os.environ.get("RECSYS_CONFIG")
    values: dict[str, Any] = {}
    base_dir = Path.cwd()
    if chosen:
        file = Path(chosen)
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"The config file {file} cannot be read: {error.strerror}.",
                fix="Give --config or RECSYS_CONFIG the path of a TOML file; conf/ has examples.",
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{file} is not valid TOML: {error}.", fix="Correct that line; conf/demo.toml is an example."
            ) from None
        base_dir = file.resolve().parent
    values["base_dir"] = base_dir
    for variable, (section, key) in _ENVIRONMENT.items():
        value = os.environ.get(variable)
        if variable == "RECSYS_WORKSPACE" and value and "://" not in value:
            value = str(Path(value).resolve())  # relative to the current folder, not to the file's
        if value and isinstance(values.setdefault(section, {}), dict):
            values[section][key] = value
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(p) for p in e['loc'])}: {e['msg']} (found {e['input']!r:.80})"
            for e in error.errors()
        ]
        raise ConfigError(
            f"{chosen or 'the configuration'} has {len(lines)} wrong setting(s):\n" + "\n".join(lines),
            fix="Correct the named keys; docs/configuration.md lists every key with its unit and range.",
        ) from None

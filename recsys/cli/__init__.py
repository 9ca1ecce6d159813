"""The command line: one verb per stage, calling the same ``run`` as the DAG, and verbs that ask.

    recsys --config conf/demo.toml ingest

Heavy imports happen inside verbs, so that ``recsys --help`` answers at once.
"""

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from recsys.errors import RecsysError


class Verbs(click.Group):
    """A group that shows our errors as two lines and an exit code, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except RecsysError as error:
            click.echo(click.style("error: ", fg="red", bold=True) + str(error), err=True)
            ctx.exit(75 if error.retryable else 1)  # 75 is sysexits' EX_TEMPFAIL

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of the pipeline, not of the alphabet."""
        return list(self.commands)


class Session:
    """What every verb needs, opened when it is first asked for."""

    def __init__(self, config_path: str | None) -> None:
        self._config_path = config_path
        self._opened: tuple[Any, Any] | None = None

    def open(self) -> tuple[Any, Any]:
        """Return ``(Config, Workspace)``."""
        if self._opened is None:
            from recsys import config, workspace

            loaded = config.load(self._config_path)
            self._opened = loaded, workspace.open_workspace(loaded)
        return self._opened


_NOISY = (
    "alembic", "fsspec", "httpcore", "httpx", "lightning", "PIL", "sentence_transformers", "urllib3",
)  # fmt: skip

pass_session = click.make_pass_decorator(Session)


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` to a verb."""
    return click.option("--json", "machine", is_flag=True, help="Answer in JSON.")(function)


def answer(value: Any, *, machine: bool, text: str) -> None:
    """Print ``value`` as JSON, or ``text`` for a person."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str) if machine else text)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", metavar="FILE", help="TOML configuration; default $RECSYS_CONFIG.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and answers.")
@click.version_option(package_name="recsys")
@click.pass_context
def main(ctx: click.Context, config_path: str | None, quiet: bool) -> None:
    """Similar products, every night: catalog feed → fine-tuned encoder → Qdrant."""
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    ctx.obj = Session(config_path)


from recsys.cli import queries, serving, stages  # noqa: E402, F401  (they add their verbs to `main`)

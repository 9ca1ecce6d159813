"""The command line: one verb per stage, calling the same ``run`` as the DAG, and verbs that search and serve.

    recsys --config conf/demo.toml ingest

Heavy imports happen inside verbs, so that ``recsys --help`` answers at once.
"""

import logging
import os
import sqlite3
import sys
from typing import Any

import click

from recsys.cli import init, queries, stages
from recsys.errors import RecsysError, TransientError

_FULL = ("No space left on device", "disk is full")
"""How the operating system, which Arrow quotes, and SQLite say it."""


class Verbs(click.Group):
    """A group that shows our errors as two lines and an exit code, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except RecsysError as error:
            failure: RecsysError = error
        except (OSError, sqlite3.OperationalError) as error:
            if not any(text in str(error) for text in _FULL):
                raise
            failure = TransientError(
                f"A disk is full: {error}.",
                fix='Make room: "A full disk" in docs/operations.md; then try again.',
            )
        click.echo(click.style("error: ", fg="red", bold=True) + str(failure), err=True)
        return ctx.exit(os.EX_TEMPFAIL if failure.retryable else 1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of the pipeline, not of the alphabet."""
        return list(self.commands)


_NOISY = (
    "alembic", "fsspec", "httpcore", "httpx", "lightning", "PIL", "sentence_transformers", "urllib3",
)  # fmt: skip


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", metavar="FILE", help="TOML configuration; default $RECSYS_CONFIG.")
@click.option("-q", "--quiet", is_flag=True, help="Log warnings only.")
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
    ctx.obj = config_path


for _verb in (*init.VERBS, *stages.VERBS, *queries.VERBS):
    main.add_command(_verb)

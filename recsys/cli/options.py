"""What verbs share: the configuration and the workspace, ``--json``, printing."""

import functools
import json
from collections.abc import Callable
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_workspace(verb: Callable[..., None]) -> Callable[..., None]:
    """Pass a verb the configuration and the workspace as its first arguments."""

    @functools.wraps(verb)
    def call(config_path: str | None, *args: Any, **options: Any) -> None:
        from recsys import config, workspace

        loaded = config.load(config_path)
        verb(loaded, workspace.open_workspace(loaded), *args, **options)

    return click.pass_obj(call)


def show(value: Any, *, as_json: bool, text: str) -> None:
    """Print ``value`` as JSON, or ``text`` for a person."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str) if as_json else text)

"""The verbs of the search service: serve, key."""

import click

from recsys.cli import Session, answer, as_json, main, pass_session


@main.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on; default search.host, 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; default search.port, 8000; 0 takes a free one."
)
@pass_session
def serve(session: Session, host: str | None, port: int | None) -> None:
    """Serve the page and the API over what is live."""
    config, workspace = session.open()
    from recsys.serving import run

    run.serve(config, workspace, host, port, say=click.echo)


@main.command()
@click.option("--name", required=True, help="Who uses it: the author of rules and judgements made with it.")
@click.option(
    "--role",
    type=click.Choice(["read", "merchandise", "admin"]),
    default="read",
    show_default=True,
    help="read asks; merchandise also makes rules and judgements; admin also changes others'.",
)
@as_json
def key(name: str, role: str, machine: bool) -> None:
    """Make a key for the API and print what the configuration needs of it."""
    import json

    from recsys.config.search import ApiKey
    from recsys.serving.auth import digest, make_key

    made = make_key()
    entry = ApiKey(name=name, role=role, sha256=digest(made))  # type: ignore[arg-type]
    lines = [f"{field} = {json.dumps(value, ensure_ascii=False)}" for field, value in entry]
    text = (
        f"The key, shown this once: {made}\n\n"
        "Put this into the configuration, from which nobody can tell the key:\n\n[[search.keys]]\n"
        + "\n".join(lines)
    )
    answer({"key": made, **entry.model_dump()}, machine=machine, text=text)

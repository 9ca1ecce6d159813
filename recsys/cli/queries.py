"""The verbs that search, serve and show: nothing here makes an artifact."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recsys.cli.options import json_option, show, with_workspace
from recsys.errors import InputError

if TYPE_CHECKING:
    from recsys.config import Config
    from recsys.search.query import SearchQuery
    from recsys.workspace import Workspace

weight_option = click.option(
    "--image-weight",
    type=click.FloatRange(0, 1),
    help="1 is images only, 0 text only. By default: products as encoders are evaluated, words alone mostly "
    "by text, an image alone mostly by images.",
)
limit_option = click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True)


@click.command()
@json_option
@with_workspace
def status(config: "Config", workspace: "Workspace", as_json: bool) -> None:
    """Say what is live: alias, collection, encoder, snapshot, counts, freshness."""
    from recsys import index

    value = index.status(config, workspace)
    lines = [f"{name.replace('_', ' '):>14}  {item}" for name, item in value.items()]
    show(value, as_json=as_json, text="\n".join(lines))


@click.command()
@click.argument("product_id")
@weight_option
@limit_option
@json_option
@with_workspace
def similar(
    config: "Config",
    workspace: "Workspace",
    product_id: str,
    image_weight: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the products most similar to PRODUCT_ID, as the page and the API do."""
    from recsys.search.query import SearchQuery

    query = SearchQuery(like=(product_id,), image_weight=image_weight, limit=limit)
    _find(config, workspace, query, as_json)


@click.command()
@click.option("--text", help="Words to look for.")
@click.option(
    "--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An image to look for."
)
@weight_option
@limit_option
@json_option
@with_workspace
def search(
    config: "Config",
    workspace: "Workspace",
    text: str | None,
    image: Path | None,
    image_weight: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find products by words, by an image, or both, as the page and the API do."""
    if not text and image is None:
        raise InputError("Nothing to search for.", fix="Give --text, --image, or both.")
    from recsys.search.query import SearchQuery

    images = (image.read_bytes(),) if image else ()
    query = SearchQuery(text=text, images=images, image_weight=image_weight, limit=limit)
    _find(config, workspace, query, as_json)


def _find(config: "Config", workspace: "Workspace", query: "SearchQuery", as_json: bool) -> None:
    from recsys.feedback.store import active_rules
    from recsys.search.finder import Finder
    from recsys.search.live_index import LiveIndex

    with closing(LiveIndex(config, workspace)) as live:
        live.refresh()
        if query.text or query.images:
            live.view().load_encoder()
        result = Finder(config, live).search(query, active_rules(config, workspace))
    rows, lines = [], [f"{'score':>6} {'image':>6} {'text':>6}  id, title"]
    for item in result.items:
        scores = {"score": item.score, "image_score": item.image_score, "text_score": item.text_score}
        more = {"pinned": item.pinned, "variants": item.variants, "payload": item.payload}
        rows.append({"id": item.id, **scores, **more})
        line = " ".join(f"{score:6.3f}" for score in scores.values())
        line += f"  {item.id}  {item.payload.get('title') or ''}"
        line += "  (pinned)" if item.pinned else ""
        line += f"  (+{len(item.variants)} variants)" if item.variants else ""
        lines.append(line)
    show(rows, as_json=as_json, text="\n".join(lines))


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on; default search.host, 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; default search.port, 8000; 0 takes a free one."
)
@with_workspace
def serve(config: "Config", workspace: "Workspace", host: str | None, port: int | None) -> None:
    """Serve the page and the API over what is live."""
    from recsys.serving import run

    run.serve(config, workspace, host, port, say=click.echo)


@click.command()
@click.option("--name", required=True, help="Who uses it: the author of rules and judgements made with it.")
@click.option(
    "--role",
    type=click.Choice(["read", "merchandise", "admin"]),
    default="read",
    show_default=True,
    help="read searches; merchandise also makes rules and judgements; admin also changes others'.",
)
@json_option
def key(name: str, role: str, as_json: bool) -> None:
    """Make a key for the API and print what the configuration needs of it."""
    from recsys.config.search import ApiKey
    from recsys.serving.auth import key_digest, make_key

    made = make_key()
    entry = ApiKey(name=name, role=role, sha256=key_digest(made))  # type: ignore[arg-type]
    lines = [f"{field} = {json.dumps(value, ensure_ascii=False)}" for field, value in entry]
    text = (
        f"The key, shown this once: {made}\n\n"
        "Put this into the configuration; the key cannot be read from it:\n\n[[search.keys]]\n"
        + "\n".join(lines)
    )
    show({"key": made, **entry.model_dump()}, as_json=as_json, text=text)


@click.command()
@json_option
@with_workspace
def summary(_config: "Config", workspace: "Workspace", as_json: bool) -> None:
    """Say what the last night did, in words."""
    from recsys import nightly

    report = nightly.latest(workspace, "reports", made_by="report")
    text = (workspace.path(report) / "summary.txt").read_text(encoding="utf-8")
    show(report.info, as_json=as_json, text=text)


@click.command("config")
@click.pass_obj
def show_config(config_path: str | None) -> None:
    """Show the configuration as it is read, without its secrets."""
    from recsys import config

    values = config.load(config_path).model_dump(mode="json", exclude={"index": {"api_key"}})
    if values["search"]["database"]:
        url = values["search"]["database"]
        values["search"]["database"] = re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", url)  # no password
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))


VERBS = (status, similar, search, serve, key, summary, show_config)

"""The untouched backbone as an encoder: its features as they are, behind no projection."""

from recsys.config import Config
from recsys.config.encoder import EncoderConfig
from recsys.encoder.model import build
from recsys.workspace import Manifest, Workspace, content_id


def untouched(settings: Config, workspace: Workspace) -> Manifest:
    """Return the artifact of the config's towers behind the identity, padded with zeros to one width."""
    widths = build(settings.encoder, seed=0, resolve=settings.resolve)
    dim = max(widths.image_tower.dim, widths.text_tower.dim)
    identity = {"projection": {"init": "orthogonal"}}
    changed = settings.encoder.model_dump()
    changed |= {"dim": dim, "image": changed["image"] | identity, "text": changed["text"] | identity}
    encoder = build(EncoderConfig.model_validate(changed), seed=0, resolve=settings.resolve)
    id = content_id({"role": "untouched", "config": encoder.config.model_dump(mode="json")})
    found = workspace.find("encoders", id)
    if found is not None:
        return found
    with workspace.create("encoders", id) as draft:
        encoder.save(draft.path)
        draft.info["role"] = "untouched"
    return draft.committed()

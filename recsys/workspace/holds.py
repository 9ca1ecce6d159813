"""Encoders that a person has rolled back from: they do not serve again until the hold is lifted."""

from datetime import UTC, datetime

from recsys.errors import InputError
from recsys.workspace.lease import Lease
from recsys.workspace.store import Workspace

POINTER = "holds"
"""``{"encoders": {ref: {"since", "reason"}}}``."""


def holds(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Return the encoders on hold, each with the time ``since`` when (UTC, ISO 8601) and the ``reason``."""
    return dict((workspace.read_pointer(POINTER) or {}).get("encoders", {}))


def hold_sentence(encoder: str, hold: dict[str, str]) -> str:
    """Return one of :func:`holds` in words."""
    return f"{encoder} is on hold since {hold['since']} ({hold['reason']})"


def put_on_hold(
    workspace: Workspace,
    encoder: str,
    reason: str,
    *,
    instead_of: str | None = None,
    lease: Lease | None = None,
) -> None:
    """Hold an encoder, and lift the hold of another; one that is on hold already stays as it is.

    A publication gives its ``lease``; raises :class:`~recsys.errors.LeaseLostError`.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    held = {encoder: {"since": since, "reason": reason}} | holds(workspace)
    held.pop(instead_of or "", None)
    workspace.write_pointer(POINTER, {"encoders": held}, lease=lease)


def lift_hold(workspace: Workspace, encoder: str, *, lease: Lease | None = None) -> None:
    """Let an encoder serve again; raises :class:`InputError` if it is not on hold.

    Whoever publishes meanwhile is kept out by its ``lease``; raises :class:`~recsys.errors.LeaseLostError`.
    """
    held = holds(workspace)
    if encoder not in held:
        raise InputError(
            f"{encoder!r} is not on hold.",
            fix=f"On hold: {', '.join(held)}." if held else "No encoder is on hold.",
        )
    del held[encoder]
    workspace.write_pointer(POINTER, {"encoders": held}, lease=lease)

"""WiSE-FT: a model on the straight line between two (Wortsman et al. 2022, eq. 2).

Does not know: which of the models is better; the gate decides that.
"""

import copy

import torch

from recsys.encoder.model import ProductEncoder
from recsys.errors import ArtifactError


def interpolate(base: ProductEncoder, tuned: ProductEncoder, alpha: float) -> ProductEncoder:
    """Return a new encoder with weights ``(1 - alpha) * base + alpha * tuned``; exact at 0 and at 1.

    Floating-point buffers (running statistics of batch normalisation) are interpolated like weights,
    integer buffers (counters) are tuned's. Raises :class:`ArtifactError` where the architectures differ,
    ``ValueError`` for an ``alpha`` outside [0, 1].
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha = {alpha} is outside [0, 1]: between base and tuned is meant")
    states = base.state_dict(), tuned.state_dict()
    shapes = [{name: (tuple(t.shape), t.dtype) for name, t in state.items()} for state in states]
    if shapes[0] != shapes[1] or base.architecture() != tuned.architecture():
        different = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[:2] or "their settings differ"
        raise ArtifactError(
            f"The two encoders are built differently ({different}), so no model is between them.",
            fix="Interpolate an encoder only with the base it was fine-tuned from.",
        )
    encoder = copy.deepcopy(tuned)
    start = states[0]
    with torch.no_grad():
        for name, tensor in encoder.state_dict().items():
            # what is equal (a frozen tower) stays so to the bit: lerp would turn -0.0 into 0.0
            if tensor.is_floating_point() and not torch.equal(start[name], tensor):
                tensor.copy_(torch.lerp(start[name], tensor, alpha))
    return encoder.eval()

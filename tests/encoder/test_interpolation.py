import copy

import numpy as np
import pytest
import torch
from torch import nn

from recsys.encoder.model import ProductEncoder, build, interpolate
from recsys.errors import ArtifactError
from tests.encoder.conftest import SMALL


@pytest.fixture(scope="module")
def ends(built: ProductEncoder) -> tuple[ProductEncoder, ProductEncoder]:
    """A base and a tuned encoder whose image towers have the buffers of batch normalisation."""
    base = copy.deepcopy(built)
    base.image_tower.add_module("norm", nn.BatchNorm2d(4))
    tuned = copy.deepcopy(base)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in tuned.state_dict().items():
            if tensor.is_floating_point() and not name.startswith("text_tower."):
                tensor.add_(torch.randn_like(tensor))
        tuned.image_tower.norm.num_batches_tracked.fill_(7)
    return base, tuned


def states_equal(a: ProductEncoder, b: ProductEncoder) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_the_ends_are_exact(ends: tuple[ProductEncoder, ProductEncoder]) -> None:
    base, tuned = ends
    assert states_equal(interpolate(base, tuned, 1.0), tuned)
    at_base = interpolate(base, tuned, 0.0)
    assert at_base.image_tower.norm.num_batches_tracked.item() == 7  # a counter is tuned's, everywhere
    at_base.image_tower.norm.num_batches_tracked.fill_(0)
    assert states_equal(at_base, base)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.77])
def test_every_weight_and_statistic_lies_on_the_line(
    ends: tuple[ProductEncoder, ProductEncoder], alpha: float
) -> None:
    mixed = interpolate(*ends, alpha)
    for name in ("image_projection.weight", "image_tower.norm.running_var", "logit_scale"):
        start, end, found = (e.state_dict()[name].double() for e in (*ends, mixed))
        torch.testing.assert_close(found, start + alpha * (end - start), atol=1e-5, rtol=1e-5)


def test_a_frozen_tower_is_untouched_and_the_ends_too(ends: tuple[ProductEncoder, ProductEncoder]) -> None:
    base, tuned = ends
    before = {name: t.clone() for name, t in tuned.state_dict().items()}
    mixed = interpolate(base, tuned, 0.3)
    assert mixed.text_digest() == base.text_digest()
    with torch.no_grad():
        mixed.image_projection.weight.zero_()
    assert all(torch.equal(t, before[name]) for name, t in tuned.state_dict().items())
    assert not mixed.training


@pytest.mark.parametrize("change", [{"dim": 400}, {"max_images": 3}, {"logit_bias": -10.0}])
def test_encoders_that_differ_in_kind_are_refused(built: ProductEncoder, change: dict[str, float]) -> None:
    with pytest.raises(ArtifactError, match="built differently"):
        interpolate(built, build(SMALL.model_copy(update=change), seed=0), 0.5)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_outside_the_line_is_refused(built: ProductEncoder, alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        interpolate(built, built, alpha)


def test_between_equal_encoders_is_the_same(built: ProductEncoder) -> None:
    assert states_equal(interpolate(built, built, 0.37), built)
    assert np.isfinite(interpolate(built, built, 0.37).embed_query(text="x")[0]).all()

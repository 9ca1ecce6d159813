import pytest
import torch

from recsys.encoder.towers.small_tower import GeM, SmallCNN


@pytest.fixture(scope="module")
def model() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN()


def test_it_is_compact(model: SmallCNN) -> None:
    assert 0.8e6 < sum(p.numel() for p in model.parameters()) < 1.5e6
    assert not list(model.buffers())  # nothing that training gathers on the side


def test_training_and_use_agree_and_no_image_sees_the_others(model: SmallCNN) -> None:
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        used = model.eval()(pixels)
        trained = model.train()(pixels)
        alone = model(pixels[2:3])
    torch.testing.assert_close(trained, used)
    torch.testing.assert_close(alone, used[2:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [96, 112, 128, 33])
def test_any_size_gives_features(model: SmallCNN, size: int) -> None:
    assert model(torch.zeros(2, 3, size, size)).shape == (2, SmallCNN.dim)


def test_it_can_learn(model: SmallCNN) -> None:
    """Every weight gets a gradient: none is cut off or dead from the start."""
    model.zero_grad()
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_generalised_mean_lies_between_mean_and_maximum() -> None:
    features = torch.rand(2, 3, 4, 4)
    mean, largest = features.mean((2, 3)), features.amax((2, 3))
    torch.testing.assert_close(GeM(1.0)(features), mean)
    pooled = GeM(3.0)(features)
    torch.testing.assert_close(pooled, features.pow(3).mean((2, 3)).pow(1 / 3))
    assert (mean < pooled).all()
    assert (pooled < largest).all()

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

from recsys.encoder.projection import fit_pca, isometry


def features(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(rows, columns)) * np.linspace(3, 0.3, columns) + rng.normal(size=columns)
    ).astype(np.float32)


@given(st.integers(1, 24), st.integers(0, 24))
@settings(max_examples=25)
def test_an_isometry_keeps_every_product(num_features: int, wider: int) -> None:
    weight = isometry(num_features, num_features + wider)
    torch.testing.assert_close(weight.T @ weight, torch.eye(num_features))


def test_a_narrower_map_has_orthonormal_rows_and_follows_the_seed() -> None:
    torch.manual_seed(1)
    first = isometry(20, 5)
    torch.manual_seed(1)
    torch.testing.assert_close(first, isometry(20, 5), rtol=0, atol=0)
    torch.testing.assert_close(first @ first.T, torch.eye(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("whiten", [0.0, 1.0])
def test_pca_agrees_with_scikit_learn(whiten: float) -> None:
    x = features(200, 12)
    projection = nn.Linear(12, 5)
    fit_pca(projection, x, whiten=whiten)
    ours = projection(torch.from_numpy(x)).detach().numpy()
    theirs = PCA(5, whiten=whiten == 1, svd_solver="full").fit_transform(x.astype(np.float64))

    def cosines(y: np.ndarray) -> np.ndarray:
        unit = y / np.linalg.norm(y, axis=1, keepdims=True)
        return unit @ unit.T

    np.testing.assert_allclose(cosines(ours), cosines(theirs), atol=1e-3)
    assert np.mean((ours**2).sum(1)) == pytest.approx(1, abs=0.02)


def test_axes_beyond_the_rank_and_beyond_the_features_are_zero() -> None:
    x = np.concatenate([features(50, 3), np.zeros((50, 2), np.float32)], axis=1)
    projection = nn.Linear(5, 8)
    fit_pca(projection, x, whiten=1.0)
    assert torch.isfinite(projection.weight).all()
    assert (projection.weight[3:] == 0).all()
    assert (projection.weight[:3].abs().sum(1) > 0).all()


def test_pca_of_equal_features_is_equal_in_sign_too() -> None:
    first, second = nn.Linear(8, 4), nn.Linear(8, 4)
    fit_pca(first, features(60, 8))
    fit_pca(second, features(60, 8)[::-1].copy())
    torch.testing.assert_close(first.weight, second.weight, atol=1e-5, rtol=0)


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two"):
        fit_pca(nn.Linear(4, 2), np.zeros((1, 4), np.float32))

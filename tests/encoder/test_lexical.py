"""A text's own words: near where spelled alike, weighed by how rare they are, the same everywhere."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recsys.config.encoder import EncoderConfig, ImageTowerConfig, TextTowerConfig
from recsys.encoder.lexical import LexicalFeatures, word_vector, words
from recsys.encoder.model import WEIGHTS_FILE, ProductEncoder, build, interpolate, untouched
from recsys.encoder.projection import fit_pca
from tests.encoder.conftest import SMALL

FEED = [f"Acme television KD-{i}L{i % 7}, black" for i in range(100, 160)]


def cosine(lexical: LexicalFeatures, one: str, other: str) -> float:
    a, b = lexical([one, other])
    return float(a @ b)


@pytest.fixture
def fitted() -> LexicalFeatures:
    lexical = LexicalFeatures(192)
    lexical.fit(FEED)
    return lexical


def test_a_rare_word_tells_more_than_a_frequent_one(fitted: LexicalFeatures) -> None:
    same_number = cosine(fitted, "Acme television 104L6", "Other set 104L6")
    same_maker = cosine(fitted, "Acme television 104L6", "Acme television 377X2")
    assert same_number > same_maker
    unfitted = LexicalFeatures(192)
    assert cosine(unfitted, "Acme television 104L6", "Other set 104L6") < cosine(
        unfitted, "Acme television 104L6", "Acme television 377X2"
    )


def test_words_spelled_nearly_alike_are_near_and_others_are_not() -> None:
    lexical = LexicalFeatures(192)
    assert cosine(lexical, "sneaker", "sneakers") > 0.5
    assert cosine(lexical, "Winterjacke", "Jacke") > 0.3
    assert abs(cosine(lexical, "sneaker", "television")) < 0.25


def test_order_case_width_and_punctuation_say_nothing() -> None:
    lexical = LexicalFeatures(64)
    first = lexical(["Red SHOE, size 42"])
    torch.testing.assert_close(first, lexical(["size ４２: red shoe"]))
    assert words("Größe ４２, GRÖSSE") == ["grösse", "42", "grösse"]


def test_a_text_without_words_is_zero_and_others_are_unit(fitted: LexicalFeatures) -> None:
    found = fitted(["", "—", "a", "a a b"])
    assert found.shape == (4, 192)
    assert found[:2].count_nonzero() == 0
    torch.testing.assert_close(found[2:].norm(dim=1), torch.ones(2))
    assert fitted([]).shape == (0, 192)
    assert fitted(["", ""]).count_nonzero() == 0


def test_neighbours_in_the_batch_change_nothing(fitted: LexicalFeatures) -> None:
    together = fitted(FEED)
    for row, text in enumerate(FEED[:9]):
        torch.testing.assert_close(together[row : row + 1], fitted([text]), atol=1e-6, rtol=0)


def test_vectors_are_the_same_on_every_machine() -> None:
    """A change of these numbers makes every encoder in service give other vectors than its index holds."""
    np.testing.assert_allclose(word_vector("shoe", 8) * 14**0.5, [0, 2, 0, 0, 0, 3, 0, 1], atol=1e-5)


def test_no_dimensions_no_vectors() -> None:
    nothing = LexicalFeatures(0)
    nothing.fit(FEED)
    assert nothing(FEED).shape == (len(FEED), 0)
    assert not nothing.state_dict()


def test_halves_of_a_text_are_the_towers_and_its_own_words(built: ProductEncoder) -> None:
    """Of a fitted base: the share of the words, and axes of the features beside them."""
    encoder = copy.deepcopy(built)
    encoder.lexical.fit(FEED)
    with torch.inference_mode():
        tokens = encoder.tokenize(FEED)
        features = encoder.text_features(tokens)
        fit_pca(encoder.text_projection, features.numpy())
        mapped = encoder.text_projection(encoder.with_words(features, tokens["words"]))
    half = encoder.dim // 2
    torch.testing.assert_close(mapped[:, half:], encoder.lexical(FEED))
    assert mapped[:, :half].square().sum(1).mean() == pytest.approx(1, abs=0.05)
    inner = torch.from_numpy(np.cov(mapped[:, :half].numpy(), rowvar=False))
    assert (inner - inner.diag().diag()).abs().max() < 1e-4  # principal axes


def test_it_is_saved_interpolated_and_left_out_of_the_untouched_backbone(
    built: ProductEncoder, tmp_path: Path
) -> None:
    encoder = copy.deepcopy(built)
    encoder.lexical.fit(FEED)
    encoder.save(tmp_path / "saved")
    loaded = ProductEncoder.load(tmp_path / "saved")
    assert torch.equal(loaded.lexical.idf, encoder.lexical.idf)
    assert torch.equal(interpolate(encoder, loaded, 0.5).lexical.idf, encoder.lexical.idf)
    other = encoder.embed_query(text=FEED[0])[1] @ encoder.embed_query(text=FEED[1])[1]
    plain = untouched(encoder)
    assert plain is not None
    first, second = (plain.embed_query(text=text)[1] for text in FEED[:2])
    with torch.inference_mode():
        a, b = plain.text_features(plain.tokenize(FEED[:2]))
    assert first @ second == pytest.approx(float(a @ b), abs=1e-5)
    assert first @ second != pytest.approx(other, abs=1e-3)


def test_an_encoder_older_than_its_own_words_is_read_as_it_was(tmp_path: Path) -> None:
    text = TextTowerConfig(lexical_share=0.0)
    old = build(SMALL.model_copy(update={"text": text}), seed=0)
    old.save(tmp_path)
    description = json.loads((tmp_path / "encoder.json").read_text())
    del description["config"]["text"]["lexical_share"]
    (tmp_path / "encoder.json").write_text(json.dumps(description))
    loaded = ProductEncoder.load(tmp_path)
    assert loaded.lexical.dim == 0
    np.testing.assert_array_equal(loaded.embed_query(text="a shoe")[1], old.embed_query(text="a shoe")[1])
    assert (tmp_path / WEIGHTS_FILE).is_file()


def test_where_both_towers_share_a_space_there_is_no_room_for_words() -> None:
    paired = EncoderConfig(image=ImageTowerConfig(pretrained="sample"))
    assert (paired.lexical_share, paired.lexical_dim) == (0, 0)
    assert (EncoderConfig().lexical_share, EncoderConfig(dim=100).lexical_dim) == (0.5, 50)
    with pytest.raises(ValidationError, match="starts from pca"):
        EncoderConfig(image=paired.image, text=TextTowerConfig(lexical_share=0.2))

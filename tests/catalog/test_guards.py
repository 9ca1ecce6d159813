"""Guards stop a run before harm, and say how to go on."""

from typing import Any

import pytest

from recsys.catalog.guards import check_feed, check_gone, check_losses
from recsys.config.catalog import GuardsConfig
from recsys.errors import GuardError


def _feed(settings: GuardsConfig, *, rows: int = 100, products: int = 90, **reasons: dict[str, int]) -> None:
    check_feed(settings, num_rows=rows, num_links=50, num_products=products, reasons=reasons)


def _diff(**counts: int) -> dict[str, int]:
    return dict.fromkeys(("new", "changed_content", "changed_payload", "gone", "unchanged"), 0) | counts


def test_small_losses_add_up() -> None:
    history = [1000, 910, 830]
    check_losses(GuardsConfig(), num_products=800, history=history)
    with pytest.raises(GuardError, match=r"755 products; the largest .* had 1,000: 24.5% fewer") as caught:
        check_losses(GuardsConfig(), num_products=755, history=history)
    assert "catalog.guards.allow_gone = true" in caught.value.fix
    check_losses(GuardsConfig(allow_gone=True), num_products=755, history=history)
    check_losses(GuardsConfig(), num_products=755, history=[])


@pytest.mark.parametrize(
    ("arguments", "flag", "said"),
    [
        ({"products": 0, "rows": 0}, "allow_empty", "0 rows"),
        (
            {"product": {"missing_id": 21}},
            "allow_rejected",
            "21 of 100 rows (21.0%) were rejected (missing_id 21)",
        ),
        ({"image": {"image_not_found": 16}}, "allow_rejected_images", "16 of 50 image links"),
    ],
)
def test_each_guard_and_its_override(arguments: dict[str, Any], flag: str, said: str) -> None:
    with pytest.raises(GuardError) as caught:
        _feed(GuardsConfig(), **arguments)
    assert said in caught.value.message
    assert f"catalog.guards.{flag} = true" in caught.value.fix
    _feed(GuardsConfig.model_validate({flag: True}), **arguments)


@pytest.mark.parametrize(
    "reasons",
    [
        {"product": {"missing_id": 20}, "image": {"image_not_found": 15}},
        {"product": {"withheld": 90}, "image": {"duplicate_image": 50}},  # no fault of the feed
    ],
)
def test_shares_at_the_limit_pass(reasons: dict[str, Any]) -> None:
    _feed(GuardsConfig(), **reasons)


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, {"gone": 20, "unchanged": 80}),
        ({"allow_gone": True}, {"gone": 100}),
        ({"max_gone_share": 0.5}, {"gone": 21, "unchanged": 79}),
        ({}, {"new": 10}),  # a first night has nothing to lose
    ],
)
def test_a_catalog_may_lose_some_products(settings: dict[str, Any], counts: dict[str, int]) -> None:
    check_gone(GuardsConfig.model_validate(settings), _diff(**counts))


def test_too_much_gone() -> None:
    with pytest.raises(GuardError, match="21 of the 100 products in service") as caught:
        check_gone(GuardsConfig(), _diff(gone=21, unchanged=79, new=1000))
    assert "allow_gone = true" in caught.value.fix

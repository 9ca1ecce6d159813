"""Guards stop a run before harm, and say how to go on."""

from typing import Any

import pytest

from recsys.catalog.guards import check_feed, check_gone
from recsys.config.catalog import GuardsConfig
from recsys.errors import GuardError


def _feed(settings: GuardsConfig, *, rows: int = 100, products: int = 90, **reasons: dict[str, int]) -> None:
    check_feed(settings, num_rows=rows, num_links=50, num_products=products, reasons=reasons)


def _diff(**counts: int) -> dict[str, int]:
    return dict.fromkeys(("new", "changed_content", "changed_payload", "gone", "unchanged"), 0) | counts


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


def test_shares_at_the_limit_pass() -> None:
    _feed(GuardsConfig(), product={"missing_id": 20}, image={"image_not_found": 15})
    check_gone(GuardsConfig(), _diff(gone=20, unchanged=80))


def test_what_is_no_fault_of_the_feed_stops_nothing() -> None:
    _feed(GuardsConfig(), product={"withheld": 90}, image={"duplicate_image": 50})


def test_too_much_gone() -> None:
    with pytest.raises(GuardError) as caught:
        check_gone(GuardsConfig(), _diff(gone=21, unchanged=79, new=1000))
    assert "21 of the 100 products in service" in caught.value.message
    assert "allow_gone = true" in caught.value.fix
    check_gone(GuardsConfig(allow_gone=True), _diff(gone=100))
    check_gone(GuardsConfig(max_gone_share=0.5), _diff(gone=21, unchanged=79))


def test_a_first_night_has_nothing_to_lose() -> None:
    check_gone(GuardsConfig(), _diff(new=10))

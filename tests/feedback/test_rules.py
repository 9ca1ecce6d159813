"""What a rule is and when it acts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recsys.errors import InputError
from recsys.feedback.rules import Rule, Subject
from recsys.index.filters import AnyOf, Ids

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LAMP = {"product_type": ["Home", "Home > Lamps"], "brand": "Acme"}


def rule(**changes: Any) -> Rule:
    return Rule(**{"action": "boost", "target": "product", "target_value": "p1", **changes})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"action": "hide"}, "action is 'hide'"),
        ({"target": "colour"}, "target is 'colour'"),
        ({"scope": "page"}, "scope is 'page'"),
        ({"target_value": "  "}, "names no product"),
        ({"scope": "category"}, "scope is category with the value ''"),
        ({"scope_value": "Home"}, "scope is everywhere with the value 'Home'"),
        ({"action": "pin", "target": "brand"}, "pin names a whole brand"),
        ({"scope": "product", "scope_value": "p1"}, "among its own neighbours"),
        ({"strength": 0.0}, "strength is 0.0"),
        ({"strength": 1.5}, "strength is 1.5"),
        ({"starts_at": NOW, "expires_at": NOW}, "expires before it starts"),
    ],
)
def test_a_rule_that_does_not_fit_together_says_what_is_wrong(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        rule(**wrong)


def test_it_is_active_from_its_start_until_just_before_its_expiry() -> None:
    hour = timedelta(hours=1)
    timed = rule(starts_at=NOW, expires_at=NOW + hour)
    moments = [NOW - hour, NOW, NOW + hour / 2, NOW + hour]
    assert [timed.active(m) for m in moments] == [False, True, True, False]
    assert rule().active(NOW)


@pytest.mark.parametrize(
    ("scope", "value", "applies"),
    [
        ("everywhere", "", True),
        ("product", "p9", True),
        ("product", "p8", False),
        ("category", "Home", True),
        ("category", "Home>Lamps ", True),
        ("category", "Home > Lamp", False),
    ],
)
def test_it_applies_to_searches_in_its_scope(scope: str, value: str, applies: bool) -> None:
    scoped = rule(scope=scope, scope_value=value)
    assert scoped.applies(Subject.of("p9", ["Home > Lamps > Desk"])) == applies
    assert scoped.applies(Subject()) == (scope == "everywhere")


@pytest.mark.parametrize(
    ("target", "value", "condition", "moves"),
    [
        ("product", "p1", Ids(("p1",)), True),
        ("product", "p2", Ids(("p2",)), False),
        ("category", "Home>Lamps", AnyOf("product_type", ("Home > Lamps",)), True),
        ("category", "Home > Lamps > Desk", AnyOf("product_type", ("Home > Lamps > Desk",)), False),
        ("brand", "Acme", AnyOf("brand", ("Acme",)), True),
        ("brand", "acme", AnyOf("brand", ("acme",)), False),
    ],
)
def test_it_moves_what_it_names_and_its_condition_finds_it(
    target: str, value: str, condition: AnyOf | Ids, moves: bool
) -> None:
    named = rule(target=target, target_value=value)
    assert (named.moves("p1", LAMP), named.condition) == (moves, condition)


def test_boost_and_bury_shift_and_the_others_do_not() -> None:
    shifts = {a: rule(action=a, strength=0.2).shift for a in ("pin", "block", "boost", "bury")}
    assert shifts == {"pin": 0.0, "block": 0.0, "boost": 0.2, "bury": -0.2}

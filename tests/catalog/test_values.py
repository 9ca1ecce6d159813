"""Single values: what is understood, and what is said of what is not."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog.values import (
    AVAILABILITY,
    Money,
    ValueProblemError,
    parse_availability,
    parse_gtin,
    parse_identifier,
    parse_price,
    parse_text,
    parse_time,
    plain_text,
)


@pytest.mark.parametrize(
    ("written", "amount", "currency"),
    [
        ("12.34 USD", 12.34, "USD"),
        ("EUR 1.234,50", 1234.5, "EUR"),
        ("1,234.50 usd", 1234.5, "USD"),
        ("12,5 EUR", 12.5, "EUR"),
        ("1,234", 1234.0, None),
        ("1 299,00 SEK", 1299.0, "SEK"),
        ("CHF 1'299.90", 1299.9, "CHF"),
        ("€9.99", 9.99, "EUR"),
        ("$5", 5.0, None),
        ("0", 0.0, None),
        (19.9, 19.9, None),
        (7, 7.0, None),
        ({"value": "12.50", "currency": "GBP"}, 12.5, "GBP"),
    ],
)
def test_prices(written: Any, amount: float, currency: str | None) -> None:
    assert parse_price(written) == Money(amount, currency)
    assert parse_price(written, default_currency="NOK") == Money(amount, currency or "NOK")


@given(st.decimals(0, 10**9, places=2))
def test_plain_decimals_are_read_exactly(amount: Any) -> None:
    assert parse_price(f"{amount} EUR") == Money(round(float(amount), 4), "EUR")


NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("parse", "written", "expected"),
    [
        (parse_availability, "in stock", "in_stock"),
        (parse_availability, "https://schema.org/OutOfStock", "out_of_stock"),
        (parse_availability, "Pre-Order", "preorder"),
        (parse_availability, "available for order", "backorder"),
        (parse_availability, True, "in_stock"),
        *[(parse_availability, name, name) for name in AVAILABILITY],
        (parse_time, "2026-05-31T12:00:00Z", NOON),
        (parse_time, "2026-05-31T14:00:00+02:00", NOON),
        (parse_time, "2026-05-31 12:00:00", NOON),
        (parse_time, "Sun, 31 May 2026 12:00:00 GMT", NOON),
        (parse_time, 1780228800, NOON),
        (parse_time, "1780228800000", NOON),
        (parse_time, datetime(2026, 5, 31, 14, tzinfo=timezone(timedelta(hours=2))), NOON),
        (parse_time, datetime(2026, 5, 31, 12), NOON),
        (parse_gtin, "4006381333931", "4006381333931"),
        (parse_gtin, " 96385074 ", "96385074"),
        (parse_gtin, 4006381333931, "4006381333931"),
        (parse_text, None, None),
        (parse_text, "  ", None),
        (parse_text, math.nan, None),
        (parse_text, 10000.0, "10000"),
        (parse_text, 1.5, "1.5"),
        (parse_text, "a\n b\x00\tc", "a b c"),
        (parse_text, True, "true"),
        (parse_text, "e\u0301", "é"),
    ],
)
def test_what_is_understood(parse: Callable[[Any], Any], written: Any, expected: Any) -> None:
    assert parse(written) == expected


@pytest.mark.parametrize(
    ("parse", "written", "reason"),
    [
        *[
            (parse_price, price, "bad_price")
            for price in ("twelve", "from 5 to 9", "-5 USD", "1.2.3", -1, math.inf, 10**400)
        ],
        *[(parse_price, price, "bad_currency") for price in ("1e400", "12 gold")],
        (parse_availability, "maybe", "bad_availability"),
        *[(parse_time, time, "bad_time") for time in ("yesterday", "2026-13-01", "31.05.2026", "9" * 16)],
        *[(parse_gtin, gtin, "bad_gtin") for gtin in ("4006381333932", "123", "4.006E+12")],
        (parse_text, b"caf\xe9".decode("utf-8", errors="surrogateescape"), "bad_encoding"),
        (parse_identifier, "x" * 300, "bad_id"),
    ],
)
def test_what_is_not_understood_has_a_reason(parse: Callable[[Any], Any], written: Any, reason: str) -> None:
    with pytest.raises(ValueProblemError) as caught:
        parse(written)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>Two&nbsp;<b>lines</b></p><p>here</p>", "Two lines here"),
        ("a < b and c > d", "a < b and c > d"),
        ("Cocona&reg; fabric", "Cocona® fabric"),
        ("<script>alert(1)</script>Mug<style>p{}</style>", "Mug"),
        ("24'' x 36''", "24'' x 36''"),
        ("<b>Sale</b> <![ 50 % off", "Sale <![ 50 % off"),
        ("a<b and c", "a<b and c"),
        ("<tr><td>a</td><td>b</td></tr>", "a b"),
        ("<!-- <b>old</b> -->Mug", "Mug"),
    ],
)
def test_markup_is_taken_out(markup: str, expected: str) -> None:
    assert plain_text(markup) == expected


@pytest.mark.parametrize("part", ['<a ="', "<b>", "<![", "</", "<!--", "<table>", "<a><div>", "&"])
def test_markup_made_to_be_slow_is_taken_out_in_time(part: str) -> None:
    text = part * (50_000 // len(part))
    started = time.process_time()
    plain_text(text + "<b>x</b>")
    plain_text(text)
    assert time.process_time() - started < 2


@given(st.text(st.characters(exclude_characters="<&", exclude_categories=["Cs", "Cc"])))
def test_plain_text_keeps_the_words(text: str) -> None:
    assert plain_text(f"<p>{text}</p>") == " ".join(text.split())

"""Single values: what is understood, and what is said of what is not."""

import math
import time
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


@pytest.mark.parametrize(
    "written", ["twelve", "-5 USD", "1.2.3", "from 5 to 9", "1e400", -1, math.inf, 10**400]
)
def test_bad_prices(written: Any) -> None:
    with pytest.raises(ValueProblemError) as caught:
        parse_price(written)
    assert caught.value.reason in ("bad_price", "bad_currency")


def test_a_currency_that_is_none() -> None:
    with pytest.raises(ValueProblemError, match="ISO 4217"):
        parse_price("12 gold")


@given(st.decimals(0, 10**9, places=2))
def test_plain_decimals_are_read_exactly(amount: Any) -> None:
    assert parse_price(f"{amount} EUR") == Money(round(float(amount), 4), "EUR")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("in stock", "in_stock"),
        ("https://schema.org/OutOfStock", "out_of_stock"),
        ("Pre-Order", "preorder"),
        ("available for order", "backorder"),
        (True, "in_stock"),
        *[(name, name) for name in AVAILABILITY],
    ],
)
def test_availability(written: Any, expected: str) -> None:
    assert parse_availability(written) == expected


def test_bad_availability_names_the_vocabulary() -> None:
    with pytest.raises(ValueProblemError, match="in_stock, out_of_stock, preorder, backorder"):
        parse_availability("maybe")


@pytest.mark.parametrize(
    "written",
    [
        "2026-05-31T04:00:00Z",
        "2026-05-31T06:00:00+02:00",
        "2026-05-31 04:00:00",
        "Sun, 31 May 2026 04:00:00 GMT",
        1780200000,
        "1780200000000",
        datetime(2026, 5, 31, 6, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 5, 31, 4),
    ],
)
def test_times(written: Any) -> None:
    assert parse_time(written) == datetime(2026, 5, 31, 4, tzinfo=UTC)


@pytest.mark.parametrize("written", ["yesterday", "2026-13-01", "31.05.2026", "9999999999999999"])
def test_bad_times(written: str) -> None:
    with pytest.raises(ValueProblemError) as caught:
        parse_time(written)
    assert caught.value.reason == "bad_time"


def test_gtin_checks_length_and_check_digit() -> None:
    assert parse_gtin("4006381333931") == "4006381333931"
    assert parse_gtin(" 96385074 ") == "96385074"
    assert parse_gtin(4006381333931) == "4006381333931"
    for wrong in ("4006381333932", "123", "4.006E+12"):
        with pytest.raises(ValueProblemError):
            parse_gtin(wrong)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, None),
        ("  ", None),
        (math.nan, None),
        (10000.0, "10000"),
        (1.5, "1.5"),
        ("a\n b\x00\tc", "a b c"),
        (True, "true"),
        ("e\u0301", "é"),
    ],
)
def test_text(written: Any, expected: str | None) -> None:
    assert parse_text(written) == expected


def test_text_in_another_encoding_is_told_apart() -> None:
    with pytest.raises(ValueProblemError) as caught:
        parse_text(b"caf\xe9".decode("utf-8", errors="surrogateescape"))
    assert caught.value.reason == "bad_encoding"


def test_an_id_is_bounded() -> None:
    with pytest.raises(ValueProblemError) as caught:
        parse_identifier("x" * 300)
    assert caught.value.reason == "bad_id"


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

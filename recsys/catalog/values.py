"""Type checks of single values: a feed's text or number in, a clean value or a reason out."""

import html
import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from selectolax.lexbor import LexborHTMLParser
from stdnum import ean
from stdnum.exceptions import InvalidChecksum, ValidationError

from recsys.catalog.readers import UnreadableValue
from recsys.workspace.product import MAX_ID_LENGTH

AVAILABILITY = {
    "in_stock": ("instock", "available", "instoreonly", "onlineonly", "limitedavailability", "true", "yes"),
    "out_of_stock": ("outofstock", "unavailable", "soldout", "discontinued", "false", "no"),
    "preorder": ("preorder", "presale"),
    "backorder": ("backorder", "availablefororder", "onbackorder", "madetoorder"),
}
"""Our vocabulary (Google's) → how else it is written, without spaces and marks; also schema.org's."""

_AVAILABILITY = {
    word: name for name, words in AVAILABILITY.items() for word in (name.replace("_", ""), *words)
}
_SYMBOLS = {"€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "zł": "PLN"}
_AMOUNT = re.compile(r"[+-]?\d[\d.,'\u00a0\u202f ]*")
_TAG_START = re.compile(r"<(?=[a-zA-Z/!?])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_PRICE = 1e12


class ValueProblemError(Exception):
    """A value cannot be used: ``reason`` is its code, the text a clause that goes after the column's name."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True)
class Money:
    """An amount, and its currency (ISO 4217) if one was named."""

    amount: float
    currency: str | None


def parse_text(value: Any) -> str | None:
    """Return a value as one line of text, or ``None`` if it is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, UnreadableValue):
        raise ValueProblemError("unreadable_value", f"holds a {value.problem}")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="surrogateescape")
    text = _CONTROL.sub(" ", str(value))
    if _SURROGATE.search(text):
        raise ValueProblemError("bad_encoding", "holds bytes that are not in the feed's text encoding")
    return " ".join(unicodedata.normalize("NFC", text).split()) or None


def parse_identifier(value: Any) -> str | None:
    """Return an id as text; raises :class:`ValueProblemError` if it is too long to name a product."""
    text = parse_text(value)
    if text is not None and len(text) > MAX_ID_LENGTH:
        raise ValueProblemError("bad_id", f"has {len(text)} characters; an id has at most {MAX_ID_LENGTH}")
    return text


def plain_text(text: str) -> str:
    """Return ``text`` without markup and entities; scripts and styles go with their content."""
    if "<" in text:
        tags, end, rest = text.rpartition(">")  # no tag ends in the rest: its "<" are text, as in "a<b"
        markup = _TAG_START.sub(" <", tags) + end + rest.replace("<", "&lt;")  # a tag separates words
        tree = LexborHTMLParser(markup, is_fragment=True)
        for element in tree.css("script, style"):
            element.decompose()
        text = tree.root.text() if tree.root else ""
    elif "&" in text:
        text = html.unescape(text)
    return " ".join(text.split())


def parse_price(value: Any, *, default_currency: str | None = None) -> Money | None:
    """Return a price given as ``12.34``, ``12.34 USD``, ``EUR 1.234,50`` or Google's value/currency pair."""
    currency = default_currency
    if isinstance(value, dict):
        lower = {str(k).lower(): v for k, v in value.items()}
        currency = parse_text(lower.get("currency") or lower.get("currencycode")) or currency
        value = lower.get("value", lower.get("amount"))
    text = parse_text(value)
    if text is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    amount = float(text) if is_number else None
    if amount is None:
        found = _AMOUNT.search(text)
        rest = (text[: found.start()] + " " + text[found.end() :]).strip() if found else text
        amount = _amount(found.group()) if found and " " not in rest else None
        if amount is None:
            raise ValueProblemError("bad_price", "was expected to be a price such as 12.34 or 12.34 USD")
        if rest not in ("", "$"):
            currency = _SYMBOLS.get(rest, rest)
    if not 0 <= amount < _MAX_PRICE:
        raise ValueProblemError("bad_price", "was expected to be a price of zero or more")
    return Money(round(amount, 4), parse_currency(currency))


def _amount(text: str) -> float | None:
    """Read thousands and decimal marks: the last is decimal, but a lone comma before three digits."""
    digits = re.sub(r"['\u00a0\u202f ]", "", text)
    comma, dot = digits.rfind(","), digits.rfind(".")
    is_decimal = comma > dot and (dot >= 0 or (digits.count(",") == 1 and len(digits) - comma != 4))
    digits = digits.replace(".", "").replace(",", ".") if is_decimal else digits.replace(",", "")
    try:
        return float(digits)
    except ValueError:
        return None


def parse_currency(value: Any) -> str | None:
    """Return an ISO 4217 code."""
    text = parse_text(value)
    if text is None:
        return None
    code = text.upper()
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise ValueProblemError("bad_currency", "names no ISO 4217 currency, such as USD")
    return code


def parse_availability(value: Any) -> str | None:
    """Return one of in_stock, out_of_stock, preorder, backorder."""
    text = parse_text(value)
    if text is None:
        return None
    word = re.sub(r"[^a-z]", "", text.rsplit("/", 1)[-1].lower())
    if word not in _AVAILABILITY:
        raise ValueProblemError("bad_availability", f"was expected to be one of {', '.join(AVAILABILITY)}")
    return _AVAILABILITY[word]


def parse_time(value: Any) -> datetime | None:
    """Return a time in UTC, from ISO 8601, RFC 2822, a Unix time in s or ms, or a time; no zone means UTC."""
    text = parse_text(value)
    if text is None:
        return None
    try:
        if isinstance(value, datetime):
            found = value
        elif re.fullmatch(r"\d{9,13}(\.\d+)?", text):
            seconds = float(text)
            found = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        elif text[:1].isdigit() and "-" in text:
            found = datetime.fromisoformat(text)
        else:
            found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise ValueProblemError(
            "bad_time", "was expected to be a time such as 2026-05-31T04:00:00Z"
        ) from None


def parse_gtin(value: Any) -> str | None:
    """Return a GTIN of 8, 12, 13 or 14 digits whose check digit is right."""
    text = parse_text(value)
    if text is None:
        return None
    try:
        digits: str = ean.validate(text)
    except InvalidChecksum:
        raise ValueProblemError("bad_gtin", "has a wrong check digit") from None
    except ValidationError:
        raise ValueProblemError("bad_gtin", "was expected to be 8, 12, 13 or 14 digits") from None
    return digits

"""What the products of a sample are like, read as an ingest would read them with the guessed column map."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from recsys.catalog.readers import FeedRecord
from recsys.catalog.rows import ProductRow, RowMapper
from recsys.config import CatalogConfig, EncoderConfig
from recsys.encoder.template import ContentReader, names_label
from recsys.proposal.links import LinkFacts, look_at_links

_ROLES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "heldout", "holdout"),
}
_MAX_ROLES = 8
_LABEL_COLUMNS = ("product_type", "google_product_category", "brand")
_TEXTS, _TEXTS_AT_ONCE = 2000, 50
"""Different texts whose language is looked at, so many at once: a title alone is too short to tell."""
_LANGUAGES = [
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr",
    "he", "hi", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "nl", "no", "pl",
    "pt", "ro", "ru", "sk", "sl", "sr", "sv", "th", "tr", "uk", "vi", "zh",
]  # fmt: skip
"""ISO 639-1 codes to choose from: rare languages would be found in lists of model names."""
_SHARED_TEXTS = 0.2


@dataclass(frozen=True, kw_only=True)
class Label:
    """A column whose equal values could mean "similar"."""

    name: str
    num_values: int
    num_classes: int
    """Values that two or more products have."""
    num_products: int
    """Products that have a value."""
    named_share: float
    """Share of these products' texts that name their value."""


@dataclass(frozen=True, kw_only=True)
class CatalogSplit:
    """A column of the catalog that says what to train on and what to test on."""

    column: str
    train: list[str]
    validation: list[str]
    test: list[str]
    other: list[str]
    """Values that name no role; they are in ``train`` too."""
    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class CatalogProfile:
    """What the products of a sample are like."""

    num_products: int
    rejected: dict[str, int]
    """Reason → rows that are no product; those for sale only."""
    num_twice: int
    """Rows whose id an earlier row has."""
    rejected_values: dict[str, int]
    """Product column → values that cannot be used."""
    num_with_image: int
    num_with_text: int
    num_with_both: int
    mean_images: float
    """Of a product that has one."""
    num_groups: int
    """Item groups of two or more products."""
    num_in_groups: int
    """Products in them."""
    num_independent: int
    """Item groups, and products without one."""
    num_independent_trained: int
    """Those that the catalog's own split trains on; all without one."""
    num_equal_titles: int
    """Products whose title an earlier one has."""
    num_texts: int
    """Different texts."""
    labels: list[Label]
    split: CatalogSplit | None
    num_without_currency: int
    """Products with a price that names no currency."""
    languages: dict[str, float]
    """ISO 639-1 code → share of the different texts, the largest first; empty without texts."""
    links: LinkFacts

    @property
    def category(self) -> Label | None:
        """What training and evaluation take as the category: ``product_type``, if products share some."""
        return next((x for x in self.labels if x.name == "product_type" and x.num_classes > 1), None)

    @property
    def words_are_of_classes(self) -> bool:
        """Whether so many products share their text that it says only which class they are of."""
        return self.num_texts < _SHARED_TEXTS * self.num_with_text


def profile_products(
    records: Sequence[FeedRecord], config: CatalogConfig, encoder: EncoderConfig, feed: str
) -> CatalogProfile:
    """Return what ``records`` are like; ``feed`` says where relative image links start from."""
    mapper, reader = RowMapper(config), ContentReader(encoder)
    products: dict[str, ProductRow] = {}
    rejected: Counter[str] = Counter()
    rejected_values: Counter[str] = Counter()
    num_twice = 0
    for record in records:
        product, reasons = mapper.map(record)
        if product is None:
            rejected[reasons[0].reason] += 1
        elif product.id in products:
            num_twice += 1
        else:
            products[product.id] = product
        rejected_values.update(r.column for r in reasons if r.scope == "value" and r.column)
    rows = list(products.values())
    texts = [reader.read({**row.values, "attributes": row.attributes}).text for row in rows]
    names = [*_LABEL_COLUMNS, *(config.attributes if config.attributes != "rest" else ())]
    labels = [_label(name, [_value(row, name) for row in rows], texts) for name in names]
    groups = Counter(row.values["item_group_id"] for row in rows if row.values.get("item_group_id"))
    split = find_split({name: [_value(row, name) for row in rows] for name in names})
    trained = [row for row in rows if split is None or _value(row, split.column) in split.train]
    titles = Counter(row.values["title"] for row in rows if row.values.get("title"))
    with_image = [bool(row.images) for row in rows]
    with_text = [text is not None for text in texts]
    num_images = sum(len(row.images) for row in rows)
    return CatalogProfile(
        num_products=len(rows),
        rejected={reason: n for reason, n in rejected.items() if reason != "withheld"},
        num_twice=num_twice,
        rejected_values=dict(rejected_values),
        num_with_image=sum(with_image),
        num_with_text=sum(with_text),
        num_with_both=sum(a and b for a, b in zip(with_image, with_text, strict=True)),
        mean_images=num_images / max(1, sum(with_image)),
        num_groups=sum(n > 1 for n in groups.values()),
        num_in_groups=sum(n for n in groups.values() if n > 1),
        num_independent=_num_independent(rows),
        num_independent_trained=_num_independent(trained),
        num_equal_titles=sum(n - 1 for n in titles.values()),
        num_texts=len(set(filter(None, texts))),
        labels=[label for label in labels if label.num_classes],
        split=split,
        num_without_currency=sum("price" in row.values and "currency" not in row.values for row in rows),
        languages=find_languages([text for text in dict.fromkeys(texts) if text][:_TEXTS]),
        links=look_at_links((link for row in rows for _, link in row.images), feed),
    )


def find_split(columns: Mapping[str, Sequence[str | None]]) -> CatalogSplit | None:
    """Return the column whose values name train and test, the one with most roles first; or ``None``."""
    found = []
    for name, values in columns.items():
        counts = Counter(value for value in values if value is not None)
        if not 1 < len(counts) <= _MAX_ROLES:
            continue
        roles: defaultdict[str, list[str]] = defaultdict(list)
        for value in counts:
            word = re.sub(r"[^a-z]", "", value.lower())
            roles[next((role for role, words in _ROLES.items() if word in words), "other")].append(value)
        if roles["train"] and roles["test"]:
            found.append(
                CatalogSplit(
                    column=name, train=roles["train"] + roles["other"], validation=roles["validation"],
                    test=roles["test"], other=roles["other"], counts=dict(counts),
                )
            )  # fmt: skip
    return max(found, key=lambda split: bool(split.validation), default=None)


def find_languages(texts: Sequence[str]) -> dict[str, float]:
    """Return ISO 639-1 code → share of ``texts``, the largest first, told from 50 at a time."""
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(_LANGUAGES)
    counts: Counter[str] = Counter()
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        part = texts[start : start + _TEXTS_AT_ONCE]
        counts[str(identifier.classify("\n".join(part))[0])] += len(part)
    return {code: n / len(texts) for code, n in counts.most_common()}


def _value(row: ProductRow, name: str) -> str | None:
    return row.values.get(name) if name in _LABEL_COLUMNS else row.attributes.get(name)


def _num_independent(rows: Iterable[ProductRow]) -> int:
    return len({row.values.get("item_group_id") or (row.id,) for row in rows})


def _label(name: str, values: Sequence[str | None], texts: Sequence[str | None]) -> Label:
    counts = Counter(value for value in values if value is not None)
    pairs = [(t, v) for t, v in zip(texts, values, strict=True) if t is not None and v is not None]
    return Label(
        name=name,
        num_values=len(counts),
        num_classes=sum(n > 1 for n in counts.values()),
        num_products=counts.total(),
        named_share=sum(names_label(text, value) for text, value in pairs) / max(1, len(pairs)),
    )

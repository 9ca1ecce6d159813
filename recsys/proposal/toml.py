"""The text of a proposed config: settings, and beside each what was found."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from recsys.config.catalog import GuardsConfig
from recsys.config.evaluation import GateConfig
from recsys.encoder.template import GIVEN_AWAY
from recsys.proposal.column_guess import SourceColumn
from recsys.proposal.profile import CatalogProfile, CatalogSplit
from recsys.proposal.run import Proposal

_WIDTH = 108
_MOSTLY = 0.8


def write_toml(proposal: Proposal) -> str:
    """Return the config's text."""
    sections = (_head, _catalog, _encoder, _training, _evaluation)
    return "\n".join("\n".join(section(proposal)) + "\n" for section in sections if [*section(proposal)])


def _head(p: Proposal) -> Iterator[str]:
    sample = p.sample
    rows = f"{len(sample.records):,} rows"
    if not sample.is_whole:
        rows = f"the first {rows} of {f'{sample.num_rows:,}' if sample.num_rows else 'a longer feed'}"
    packed = f", {sample.compression}" if sample.compression else ""
    yield from _comment(
        "Proposed by `recsys init`, which looked at the feed and wrote down what it found. Change what you "
        "know better; docs/configuration.md has every setting."
    )
    yield "#"
    yield from _found("feed", f"{sample.format}{packed}, {_size(sample.num_bytes)}; {rows}")
    yield from _found("machine", f"{p.num_cores} cores, {p.memory_gib:.0f} GiB of memory, {_gpus(p.gpus)}")
    yield from _found("products", _products(p))
    yield from _found("images", _images(p.profile))
    yield from _found("text", _texts(p.profile))
    profile = p.profile
    if profile.num_groups:
        share = _percent(profile.num_in_groups, profile.num_products)
        counted = f"{profile.num_groups:,} item groups of two or more products, with {share} of all products"
        yield from _found("groups", counted)
    else:
        yield from _found("groups", "no two products share an item group")
    yield f"\nname = {_quoted(p.name)}"
    yield "\n[workspace]"
    yield f"root = {_quoted('workspace/' + '-'.join(p.name.lower().split()))}"


def _products(p: Proposal) -> str:
    profile, sample = p.profile, p.sample
    text = f"{profile.num_products:,}"
    withheld = sum(record.withheld is not None for record in sample.records)
    text += f"; {withheld:,} rows are not for sale" if withheld else ""
    text += f"; {profile.num_twice:,} rows repeat an id" if profile.num_twice else ""
    text += "".join(f"; {n:,} rows rejected: {reason}" for reason, n in profile.rejected.items())
    return text


def _images(profile: CatalogProfile) -> str:
    links = profile.links
    if not links.num_links:
        return "no product has one"
    share = _percent(profile.num_with_image, profile.num_products)
    text = f"{share} of products have one, {profile.mean_images:.1f} each; "
    text += f"{links.num_opened:,} of {links.num_links:,} opened"
    text += f", longest side {links.longest_side} pixels" if links.longest_side else ""
    text += f"; {links.num_missing:,} links of local images lead nowhere" if links.num_missing else ""
    rejected = ", ".join(f"{reason} {n:,}" for reason, n in links.rejected.items())
    text += f"; rejected: {rejected}" if rejected else ""
    if links.rejected_share > GuardsConfig().max_rejected_image_share:
        text += f"; ingest stops where over {GuardsConfig().max_rejected_image_share:.0%} are: correct them, "
        text += "or set catalog.guards.allow_rejected_images"
    if "refused_address" in links.rejected:
        text += "; images at a private address need their host in catalog.images.private_hosts"
    return text + f"; {links.num_equal:,} files are byte for byte another one" * bool(links.num_files)


def _texts(profile: CatalogProfile) -> str:
    if not profile.num_with_text:
        return "no product has any"
    text = f"{_percent(profile.num_with_text, profile.num_products)} of products have some; "
    text += f"{profile.num_texts:,} different texts; {profile.num_equal_titles:,} titles repeat another one; "
    shares = (f"{code} {share:.0%}" for code, share in profile.languages.items())
    return text + f"languages: {', '.join(shares)}"


def _catalog(p: Proposal) -> Iterator[str]:
    settings, guess = p.guess.settings, p.guess
    yield "[catalog]"
    yield f"feed = {_quoted(p.feed)}"
    if p.sample.encoding != "utf-8":
        yield f"encoding = {_quoted(p.sample.encoding)}   # it is not valid UTF-8"
    if p.profile.num_without_currency:
        n, total = p.profile.num_without_currency, p.profile.num_products
        yield f'# currency = "EUR"   # say which: the price of {n:,} of {total:,} products names none'
    if settings["ignore"]:
        yield f"ignore = {_listed(settings['ignore'])}   # called like a product column, with other values"
    if guess.attributes:
        yield "# They sort products into classes: for labels, filters, and {attributes.name} in text_parts."
        yield f"attributes = {_listed(settings['attributes'])}"
    yield ""
    yield "# How often each column of the feed has a value, and what becomes of it."
    yield from _column_lines(p.columns, p)
    if settings["columns"]:
        yield "[catalog.columns]"
        yield from (f"{target} = {_quoted(source)}" for target, source in settings["columns"].items())
    if p.image_base:
        yield "\n[catalog.images]"
        yield f"base = {_quoted(p.image_base)}   # the links start here, not in the feed's folder"


def _column_lines(columns: Sequence[SourceColumn], p: Proposal) -> Iterator[str]:
    guess = p.guess
    becomes = {source: f"{target} ({why})" for target, (source, why) in guess.columns.items()}
    becomes |= {name: f"an attribute, {why}" for name, why in guess.attributes.items()}
    becomes |= {name: f"ignored: {why}" for name, why in guess.ignored.items()}
    width = min(30, max(len(column.name) for column in columns))
    for column in columns:
        share = _percent(column.num_filled, len(p.sample.values))
        wrong = p.profile.rejected_values.get(becomes[column.name].split(" ")[0], 0)
        text = f"{_inline(column.name):<{width}} {share:>5}  {becomes[column.name]}"
        yield f"#   {text}" + (f"; {wrong:,} values cannot be used" if wrong else "")


def _encoder(p: Proposal) -> Iterator[str]:
    profile = p.profile
    yield "[encoder]"
    if p.text_parts:
        yield from _comment(
            "What describes a product. No column that says what is similar (product_type, a label, a group): "
            "training would read it off."
        )
        category = profile.category
        if category and category.named_share >= GIVEN_AWAY and not profile.words_are_of_classes:
            yield from _comment(
                f"The texts name their {category.name} in {category.named_share:.0%} of products all the "
                "same: a good score by words says little. Look at scores by images."
            )
        if profile.words_are_of_classes:
            yield from _comment(
                f"{profile.num_with_text:,} products have only {profile.num_texts:,} different texts: the "
                "words of classes, not of products, which give the class away. Look at scores by images."
            )
        if profile.languages.get("en", 0) < _MOSTLY:
            yield from _comment(
                "The default text tower reads English, and not all texts are: set encoder.text.name to a "
                "multilingual model."
            )
        yield f"text_parts = {_listed(p.text_parts)}"
    elif not profile.num_with_text:
        yield "# No column describes products in words: the text tower stays idle."
    yield "\n[encoder.image]"
    if p.backbone is None:
        yield from _comment(
            "A compact network that starts from random weights. With weights of a timm model at hand, "
            "`recsys init --weights FILE` proposes that model, which sees more."
            if profile.num_with_image
            else "No product has an image: the smallest tower, and it stays idle."
        )
        yield 'kind = "small"'
    else:
        yield from _backbone(p)
    yield ""
    yield from _comment(
        "The text tower is the default, a MiniLM of sentence-transformers that comes with the installation."
    )


def _backbone(p: Proposal) -> Iterator[str]:
    backbone = p.backbone
    assert backbone is not None
    yield 'kind = "timm"'
    yield f"name = {_quoted(backbone.name)}   # every tensor of that model is in the file"
    yield f"weights = {_quoted(p.weights or '')}"
    if backbone.from_tensorflow:
        yield from _comment(
            "By the file's name it comes from TensorFlow, which pads in another way and reads pixels from -1 "
            "to 1. Check that where the file comes from."
        )
        yield 'options = { pad_type = "same" }'
        yield "mean = [0.5, 0.5, 0.5]"
        yield "std = [0.5, 0.5, 0.5]"
    else:
        yield "# mean and std are those that timm knows of the model; check them where the file comes from."


def _training(p: Proposal) -> Iterator[str]:
    profile = p.profile
    others = {*p.guess.links, profile.split.column if profile.split else ""}
    labels = [label for label in profile.labels if label.name not in others]
    if labels:
        yield '# What could mean "similar": classes of two or more products; texts that name theirs.'
        width = min(30, max(len(label.name) for label in labels))
        for label in labels:
            share = _percent(label.num_products, profile.num_products)
            yield (
                f"#   {_inline(label.name):<{width}}  {label.num_classes:,} classes of "
                f"{label.num_values:,} values, {share} of products; {label.named_share:.0%} named"
            )
    if p.guess.links:
        yield from _comment(
            f"Ids of other products: {', '.join(p.guess.links)}. Where these are similar products, and not "
            "what is bought together, name the column in training.links."
        )
    yield "[training]"
    if not p.trains:
        yield from _comment(
            f"Too few groups to train: zero-shot serves. There are {p.num_classes:,} classes of two or "
            f"more products and {profile.num_with_both:,} products with an image and words."
        )
        yield "max_epochs = 0"
    else:
        yield from _comment(
            f"The recipe learns from {p.num_classes:,} classes of two or more products and from "
            f"{profile.num_with_both:,} products with an image and words; the report says what it decided."
        )
    if profile.category is not None:
        yield from _comment("The category is product_type, as by default; training.labels names others.")
    yield from _split(p)


def _split(p: Proposal) -> Iterator[str]:
    split, own = p.split, p.profile.split
    if own is not None and split is None:
        yield ""
        yield from _comment(
            f"The column {own.column} divides the catalog ({_counts(own)}), and leaves the gate too few "
            "products to decide on: products are divided by hash."
        )
    if split is not None or p.holdout_share is not None:
        yield "\n[training.split]"
    if p.holdout_share is not None:
        yield from _comment(
            f"There are {p.num_divided:,} independent products to divide, variants counted once: "
            "hold out more of them, as the gate concludes nothing from fewer than "
            f"{GateConfig().min_components}."
        )
        yield f"holdout_share = {p.holdout_share}"
    if split is not None:
        yield from _comment(
            f"The catalog's own: {_counts(split)}. Nothing but benchmark records reads `test`."
        )
        if split.other:
            yield from _comment(f"{', '.join(split.other)} names no role and is trained on.")
        yield f"column = {_quoted(split.column)}"
        yield f"train = {_listed(split.train)}"
        if split.validation:
            yield f"validation = {_listed(split.validation)}"
        yield f"test = {_listed(split.test)}"


def _counts(split: CatalogSplit) -> str:
    return ", ".join(f"{value} {n:,}" for value, n in split.counts.items())


def _evaluation(p: Proposal) -> Iterator[str]:
    profile = p.profile
    if profile.num_with_text and not p.reads_images:
        yield "[evaluation]"
        why = "nothing trains the image tower" if profile.num_with_image else "there are no images"
        yield f"image_weight = 0.0   # words alone: {why}"
    elif profile.words_are_of_classes and p.reads_images:
        yield "[evaluation]"
        yield "image_weight = 1.0   # images alone: the words are those of classes"


def _comment(text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        _inline(text), _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _found(name: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        _inline(text),
        _WIDTH,
        initial_indent=f"#   {name:<9} ",
        subsequent_indent=f"#   {'':<9} ",
        break_on_hyphens=False,
    )


def _inline(text: str) -> str:
    """Return a text that may stand in a comment: one line, no control characters."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _listed(values: Iterable[Any]) -> str:
    quoted = [_quoted(str(value)) for value in values]
    line = f"[{', '.join(quoted)}]"
    if len(line) <= _WIDTH - 15:
        return line
    wrapped = textwrap.wrap(", ".join(quoted), _WIDTH - 5, break_long_words=False, break_on_hyphens=False)
    return "[\n" + "\n".join(f"    {part}" for part in wrapped) + ",\n]"


def _percent(part: int, whole: int) -> str:
    share = part / max(1, whole)
    if part in (0, whole) or 0.01 <= share < 0.995:
        return f"{share:.0%}"
    return f"{min(max(share, 0.001), 0.999):.1%}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 100_000 else f"{num_bytes:,} bytes"


def _gpus(names: Sequence[str]) -> str:
    return ", ".join(names) or "no GPU"

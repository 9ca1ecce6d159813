"""Renders a product row into the text that the text tower reads, and names its content by a key.

Data is only ever inserted, never interpreted: a title that holds braces stays a title with braces. Imports
no torch, so that planning needs none.
"""

import hashlib
from collections.abc import Mapping
from string import Formatter
from typing import Any, NamedTuple

from recsys.config.encoder import EncoderConfig
from recsys.workspace.columns import attribute_of

_SHORTEST_LABEL = 3


class Content(NamedTuple):
    """What of a product is embedded."""

    text: str | None
    images: tuple[bytes, ...]  # sha256, in feed order, each once

    @property
    def key(self) -> bytes:
        """16 bytes that name this content: equal keys, equal vectors under one encoder."""
        digest = hashlib.blake2b(digest_size=16)
        text = b"" if self.text is None else self.text.encode()
        length = -1 if self.text is None else len(text)
        digest.update(f"{length}:".encode() + text)  # the length says where the text ends
        for image in self.images:
            digest.update(image)
        return digest.digest()


class ContentReader:
    """Reads a product row's content as one encoder sees it."""

    def __init__(self, config: EncoderConfig) -> None:
        self._max_images = config.max_images
        self._parts = [
            [
                (literal, name, int(spec) if spec else None)
                for literal, name, spec, _ in Formatter().parse(part)
            ]
            for part in config.text_parts
        ]
        names = [name for part in self._parts for _, name, _ in part if name]
        columns = [name if attribute_of(name) is None else "attributes" for name in names]
        self.columns: tuple[str, ...] = tuple(dict.fromkeys((*columns, "images")))
        """The product columns that are read."""

    def read(self, row: Mapping[str, Any]) -> Content:
        """Return the content of a row that has at least :attr:`columns`."""
        images = tuple(dict.fromkeys(row.get("images") or ()))[: self._max_images]
        return Content(self._render(row), images)

    def _render(self, row: Mapping[str, Any]) -> str | None:
        """Return the text of one product, or ``None`` where none of its parts has a value.

        ``attributes`` is a mapping or a list of pairs. White space is squeezed, parts are joined by ``". "``,
        an ended sentence keeps its own mark.
        """
        attributes = dict(row.get("attributes") or {})
        rendered = [text for part in self._parts if (text := _render_part(part, row, attributes))]
        if not rendered:
            return None
        joined = "".join(text + (" " if text[-1] in ".!?:;" else ". ") for text in rendered[:-1])
        return joined + rendered[-1]


GIVEN_AWAY = 0.3
"""From this share of texts that name their label on, a score by words says little of an encoder."""


def names_label(text: str, label: str | None) -> bool:
    """Tell whether ``text`` has the last step of ``label``, in whatever case, singular or plural."""
    last = (label or "").rpartition(">")[2].strip().lower()
    stem = last.removesuffix("s")
    return len(stem) >= _SHORTEST_LABEL and stem in text.lower()


def _render_part(
    part: list[tuple[str, str | None, int | None]], row: Mapping[str, Any], attributes: Mapping[str, Any]
) -> str:
    pieces, found = [], False
    for literal, name, limit in part:
        pieces.append(literal)
        if name is None:
            continue
        attribute = attribute_of(name)
        raw = row.get(name) if attribute is None else attributes.get(attribute)
        value = " ".join(str(raw or "").split())
        found = found or bool(value)
        pieces.append(_shorten(value, limit))
    return " ".join("".join(pieces).split()) if found else ""


def _shorten(text: str, limit: int | None) -> str:
    """Cut ``text`` to ``limit`` characters, at a word's end where there is one in the second half."""
    if limit is None or len(text) <= limit:
        return text
    cut = text[:limit]
    space = cut.rfind(" ")
    return cut[:space] if space > limit // 2 and text[limit] != " " else cut

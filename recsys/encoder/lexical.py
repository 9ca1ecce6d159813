"""A text's own words as a vector: what a language model blurs tells one model, size or name from another.

A language model gives two televisions whose model numbers differ almost one vector, and knows no maker of
last year. So the words themselves stand beside its features in one dense vector (as in Lin and Lin 2023, "A
Dense Representation Framework for Lexical and Semantic Matching"). A word is the sum of its parts of three
and four characters (Bojanowski et al. 2017), hashed and not learned, so that words which are spelled nearly
alike are near; a text is the sum of its words by TF-IDF.

    B = texts, H = values, W = different words
"""

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

_WORD = re.compile(r"\w+")
_PARTS = (3, 4)  # characters
_BUCKETS = 2**17
"""Places of the table of frequencies. Words that share one count together, which makes a rare word count
less: one in a hundred does where a catalog has a thousand frequent words."""
_REMEMBERED = 2**14


class LexicalFeatures(nn.Module):
    """Texts to unit vectors ``[B, H]``, 0 for a text without words; none, ``[B, 0]``, where H is 0.

    ``idf`` says how much a word counts, by its bucket; every word alike before :meth:`fit`.
    """

    idf: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("idf", torch.ones(_BUCKETS if dim else 0), persistent=dim > 0)

    def fit(self, texts: Sequence[str]) -> None:
        """Count in how many of ``texts`` each word is: a word of few of them counts more."""
        if not self.dim:
            return
        counts = np.zeros(_BUCKETS, np.int64)
        for text in texts:
            counts[list({_bucket(word) for word in words(text)})] += 1
        self.idf.copy_(torch.from_numpy(np.log((1 + len(texts)) / (1 + counts)) + 1))

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the vectors ``[B, H]`` of ``texts``, on the CPU."""
        if not self.dim:
            return torch.zeros(len(texts), 0)
        counts = [Counter(words(text)) for text in texts]
        row = {word: i for i, word in enumerate(dict.fromkeys(word for one in counts for word in one))}
        if not row:
            return torch.zeros(len(texts), self.dim)
        vectors = torch.from_numpy(np.stack([word_vector(word, self.dim) for word in row]))
        idf = self.idf.cpu()[[_bucket(word) for word in row]]
        at = torch.tensor([row[word] for one in counts for word in one])
        times = torch.tensor([1 + math.log(n) for one in counts for n in one.values()])
        starts = torch.tensor(np.cumsum([0, *(len(one) for one in counts[:-1])]))
        summed = functional.embedding_bag(at, vectors, starts, mode="sum", per_sample_weights=times * idf[at])
        return functional.normalize(summed, dim=-1)


def words(text: str) -> list[str]:
    """Return the words of a text, in order: letters and digits, in one spelling and without capitals."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@lru_cache(_REMEMBERED)
def word_vector(word: str, dim: int) -> NDArray[np.float32]:
    """Return the unit vector ``[H]`` of a word: the sum of its parts, each of them one place and sign.

    The hash is CRC-32, which is the same on every machine and in every version: vectors are kept for years.
    """
    padded = f" {word} "
    parts = [padded, *(padded[i : i + n] for n in _PARTS for i in range(len(padded) - n + 1))]
    vector = np.zeros(dim, np.float32)
    for part in parts:
        code = zlib.crc32(part.encode())
        vector[code % dim] += 1 if code >> 31 else -1
    norm = float(np.linalg.norm(vector))
    if norm:
        vector /= norm
    return vector


def _bucket(word: str) -> int:
    return zlib.crc32(word.encode()) % _BUCKETS

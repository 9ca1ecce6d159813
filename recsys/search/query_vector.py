"""From examples to the two vectors that are looked for.

    image half = unit(mean of: liked products' images, images given; the words where there are neither)
    text half  = unit(mean of: liked products' text, words given; the images where there are neither)

Each kind counts once, however many examples it has. Then both halves move away from what is disliked, as in
Rocchio's relevance feedback (1971): ``unit(half - 0.5 * unit(mean of the disliked))``.

    D = dimensions of one half, N = examples

Does not know: products, encoders.
"""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

UNLIKE_WEIGHT = 0.5
ONE_SIDED = 0.2
"""Weight of the half that a question has nothing of its own for."""
_TOO_SHORT = 1e-3


def aim(
    liked: Float32, unliked: Float32, *, seen: Float32 | None = None, words: Float32 | None = None
) -> Float32 | None:
    """Return the image and the text vector to look for, ``[2, D]``, rows of unit norm.

    ``liked`` and ``unliked`` are ``[N, 2, D]``, N from 0, rows of unit norm; ``seen`` and ``words`` are unit
    vectors ``[D]``. Returns ``None`` where the examples cancel each other out, or there are none.
    """
    rows = []
    for half, own, other in ((0, seen, words), (1, words, seen)):
        kinds = [] if own is None else [own]
        if len(liked):
            mean = unit(liked[:, half].mean(axis=0))
            if mean is None:
                return None
            kinds.append(mean)
        if not kinds and other is not None:
            kinds = [other]
        towards = unit(np.mean(kinds, axis=0)) if kinds else None
        if towards is None:
            return None
        if len(unliked):
            away = unit(unliked[:, half].mean(axis=0))
            if away is not None:
                towards = unit(towards - np.float32(UNLIKE_WEIGHT) * away)
                if towards is None:
                    return None
        rows.append(towards)
    return np.stack(rows)


def usual_weight(text: object, image: object, *, products: object = None, judged: float = 0.5) -> float:
    """Return the image weight for a question that names none: by what there is (true) to go by.

    Products, or words and images: as encoders are judged. Words alone compare best with words, an image
    with images; the other half is let in a little, since an encoder that has learnt to match the two
    gains from it, and one that has not loses next to nothing.
    """
    if products or (text and image):
        return judged
    return ONE_SIDED if text else 1 - ONE_SIDED


def unit(vector: Float32) -> Float32 | None:
    """Return the vector at unit norm; ``None`` where it is too short to have a direction."""
    norm = float(np.linalg.norm(vector))
    return None if norm < _TOO_SHORT else (vector / norm).astype(np.float32)

"""How the shop changes from night to night: about one product in a hundred.

The state of night N is replayed from night 1: a few draws per night, whatever the catalog's size is.

Does not know: pixels, words, files.
"""

from dataclasses import dataclass, field

from examples.sample_shop.design import product
from examples.sample_shop.dice import Dice

SHARE = 0.01
_TURNS = ("offer", "image", "wording", "new", "offer", "gone")
"""What happens to the products that a night changes, in turn; each night starts one further."""


@dataclass
class State:
    """The catalog of one night, as revisions to what the seed alone says."""

    count: int
    """Products are numbered 0 to ``count - 1``, less those that are gone."""
    gone: set[int] = field(default_factory=set)
    photo_revisions: dict[int, int] = field(default_factory=dict)
    """Owner of images → how often they were taken anew."""
    wording: dict[int, int] = field(default_factory=dict)
    offer: dict[int, int] = field(default_factory=dict)
    changed_on: dict[int, int] = field(default_factory=dict)
    """Product → the last night that changed it; 1 where none did."""
    tonight: dict[str, int] = field(default_factory=dict)
    """Kind of change → how many products it met in the last night."""

    def numbers(self) -> list[int]:
        """Return the numbers of all products there are, ascending."""
        return [n for n in range(self.count) if n not in self.gone]


def state(seed: int, num_products: int, night: int) -> State:
    """Return the catalog of the ``night``-th night; the first has ``num_products`` products."""
    result = State(num_products)
    for n in range(2, night + 1):
        result.tonight = dict.fromkeys(("new", "gone", "image", "wording", "offer"), 0)
        dice = Dice(seed, "night", n)
        for turn in range(max(1, round(SHARE * (result.count - len(result.gone))))):
            _change(result, seed, n, _TURNS[(turn + n) % len(_TURNS)], dice)
    return result


def _change(catalog: State, seed: int, night: int, kind: str, dice: Dice) -> None:
    if kind == "new":
        number = catalog.count
        catalog.count += 1
    else:
        number = dice.integer(0, catalog.count - 1)
        while number in catalog.gone or catalog.changed_on.get(number) == night:
            number = (number + 1) % catalog.count
        if kind == "gone":
            catalog.gone.add(number)
        elif kind == "image":
            owner = product(seed, number).owner
            catalog.photo_revisions[owner] = catalog.photo_revisions.get(owner, 0) + 1
        else:
            revisions = catalog.wording if kind == "wording" else catalog.offer
            revisions[number] = revisions.get(number, 0) + 1
    catalog.changed_on[number] = night
    catalog.tonight[kind] += 1

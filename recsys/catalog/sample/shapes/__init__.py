"""One function per category: a dice, a kind and a size in, a shape out.

    kitchen     mugs, teapots, bottles, vases;  vessels: the turned pots they are made of
    seating     chairs and stools
    lamps       table and desk lamps
    textiles    cushions
    dials       clocks and watches
    bags, shoes, shirts, headphones

All variants of a product use the same dice, so they share the shape; ``size`` makes it larger or taller.
Slots are ``main`` and ``accent`` (the variant's colours) or the name of a fixed material.

Does not know: colours, prices, words.
"""

from collections.abc import Callable

from recsys.catalog.sample.dice import Dice
from recsys.catalog.sample.mesh import Shape
from recsys.catalog.sample.shapes.bags import bag
from recsys.catalog.sample.shapes.dials import clock, watch
from recsys.catalog.sample.shapes.headphones import headphones
from recsys.catalog.sample.shapes.kitchen import bottle, mug, teapot, vase
from recsys.catalog.sample.shapes.lamps import lamp
from recsys.catalog.sample.shapes.seating import chair
from recsys.catalog.sample.shapes.shirts import shirt
from recsys.catalog.sample.shapes.shoes import shoe
from recsys.catalog.sample.shapes.textiles import cushion

SHAPES: dict[str, Callable[[Dice, str, float], Shape]] = {
    "mug": mug,
    "teapot": teapot,
    "bottle": bottle,
    "vase": vase,
    "chair": chair,
    "lamp": lamp,
    "cushion": cushion,
    "clock": clock,
    "bag": bag,
    "shoe": shoe,
    "shirt": shirt,
    "watch": watch,
    "headphones": headphones,
}
"""Category → ``build(dice of the design, kind, size factor)``; the kinds are in ``assortment``."""

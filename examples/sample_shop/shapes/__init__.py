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

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import Shape
from examples.sample_shop.shapes.bags import bag
from examples.sample_shop.shapes.dials import clock, watch
from examples.sample_shop.shapes.headphones import headphones
from examples.sample_shop.shapes.kitchen import bottle, mug, teapot, vase
from examples.sample_shop.shapes.lamps import lamp
from examples.sample_shop.shapes.seating import chair
from examples.sample_shop.shapes.shirts import shirt
from examples.sample_shop.shapes.shoes import shoe
from examples.sample_shop.shapes.textiles import cushion

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

"""A made-up shop: its feed, its products and their photographs, drawn from a seed.

python -m examples.sample_shop --next-night

run        writes feed.csv and images/ of one night
products   from a product's number to its design and colours; what changes each night
feed       titles, descriptions, prices: the rows of the feed, and a dozen broken ones
photo      background, lighting and viewpoint of each image
shapes     one function per category: the surfaces of a mug, a chair, a shoe
mesh       primitives, and the triangle mesh they make
materials  colours, finishes, patterns
render     camera, shading, background, shadows, on OpenCV's rasteriser
shop.toml  what there is: categories, brands, colours, words

pretraining, a package of its own, trains the image tower that the demo begins with on shops of other seeds.
"""

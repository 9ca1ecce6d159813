"""A made-up shop: its feed, its products and their photographs, drawn from a seed.

    run         writes feed.csv and images/ of a night
    nights      what changes from one night to the next
    design      who is who: product number → group, form, colours
    assortment  the categories: forms, materials, prices, facts
    vocabulary  brands, colours, collections, phrases
    words       titles, descriptions, prices: the columns of the feed
    broken      deliberate mistakes
    studio      background, light and viewpoint of each image
    render      the camera;  light, backdrop: what it sees
    shapes/     one function per category
    mesh        surfaces in three dimensions
    surface     materials and patterns
    dice        chance that is the same on every machine

Does not know: the rest of the pipeline.
"""

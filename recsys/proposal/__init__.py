"""The first config of a shop: looks at a feed and writes settings that work, each with what was found.

    run           the door: a feed's path or URL in, the text of a config out
    sample        the feed's first rows, its format, compression and encoding
    column_guess  which feed column fills which product column: by its name, otherwise by its values
    links         what is behind a sample of the image links
    profile       what the products are like: groups, labels, words, images, duplicates, a split
    backbone      which timm model a file of weights belongs to
    toml          the text that is written

Imports no torch, but to look at a file of weights. Proposes no learning rate, number of epochs, loss or
image size: the defaults are what was measured, and a look at a feed knows no better.
"""

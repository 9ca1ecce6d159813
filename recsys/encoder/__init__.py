"""The product encoder: an image tower and a text tower that meet in one space of unit vectors.

    description  a saved encoder's encoder.json
    template     renders a product row into the text that is read, and the key of its content
    preprocess   JPEG bytes to square RGB pixels, the same numbers in every process
    towers       open_clip, timm and sentence-transformers behind one interface; saved and loaded
    lexical      a text's own words as a vector, beside what its tower says
    projection   the maps into the shared space: isometry, PCA, learned
    model        ProductEncoder: build, encode, save, load; an encoder between two (WiSE-FT)
    inference    products, texts and images to vectors, streamed

    from recsys.encoder.model import ProductEncoder, build
    from recsys.encoder.inference import embed_products

``description`` and ``template`` do without torch, so that planning needs none.

Does not know: training, the index, where artifacts live.
"""

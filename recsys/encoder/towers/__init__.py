"""The towers: every kind of model behind two small interfaces.

    base             what a tower is; weights from outside
    small_tower      a compact CNN for training from scratch
    timm_tower       any timm backbone
    open_clip_tower  the two halves of an open_clip model
    sentence_tower   any sentence-transformers model
    bert             the commonest of them, without the wait for that library
    factory          builds and restores the two that a configuration names

A tower is built from the configuration (which may look for pretrained weights) or restored from a saved
folder (which never does). Heavy libraries are imported where a kind is used, so a small encoder does not
wait for open_clip.

Does not know: the shared space, products.
"""

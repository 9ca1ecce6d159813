"""The towers: every kind of model behind two small interfaces.

    base                   what a tower is; shared checks of weights
    small_tower, timm_tower, open_clip_tower, sentence_tower   one kind each
    bert, bert_tower   the commonest sentence-transformers model, without the wait for that library
    factory    chooses

A tower is built from the configuration (which may look for pretrained weights) or restored from a saved
folder (which never does). Heavy libraries are imported where a kind is used, so a small encoder does not
wait for open_clip.

Does not know: the shared space, products.
"""

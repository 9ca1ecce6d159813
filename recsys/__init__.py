"""A nightly product-similarity pipeline.

feed → ``catalog`` → ``training`` → ``evaluation`` → ``embedding`` → ``index``. Each folder is one
stage with one door, ``run.py``; stages meet only through artifacts in a ``workspace``.
"""

"""Exact search, retrieval metrics and the bootstrap: arrays in, arrays out, below every stage.

Does not know: encoders, tasks, torch models.
"""

"""Benchmarks: each is a script that writes one record under ``results/``."""

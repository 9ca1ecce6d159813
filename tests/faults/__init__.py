"""Faults at every operation: of files in :mod:`tests.faults.syscalls`, of a Qdrant server in ``server``.

A stage with a fault is run again without one (``stages``, ``campaign``); ``history`` checks what many
operations, crashes and readers saw, and ``machine`` interleaves them.
"""

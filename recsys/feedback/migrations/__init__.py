"""Migrations of the feedback store, run by Alembic when the store is opened.

A new one, from a checkout: change ``database.py``, then write ``versions/v000N_what.py`` after the last one;
``tests/feedback/test_migrate.py`` fails until the two agree.
"""

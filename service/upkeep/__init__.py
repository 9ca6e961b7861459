"""Maintenance: cleanup (sweep), repair (reconcile), recovery, reindexing, rebuilding variants and migration.

It may import operations and what those may import.
"""

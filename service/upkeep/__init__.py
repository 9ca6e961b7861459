"""What keeps a depot in order: cleanup, repair, recovery, rebuilding and migration.

It may import operations and what those may import.
"""

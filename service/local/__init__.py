"""The embedded backend: SQLite and files in one directory. Durable, for one machine."""

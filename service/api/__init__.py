"""HTTP without a framework: the table of operations, its requests, responses and errors, and who is calling.

It may import operations and what those may import, and nothing of upkeep or of a backend.
"""

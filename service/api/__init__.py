"""HTTP without a framework: the table of operations, requests, responses, errors and authentication.

It may import operations and what those may import, and nothing of upkeep or of a backend.
"""

"""Pages for browsers: the gallery, and the API reference at /docs.

It may import the API.
"""

"""Pages for browsers: the gallery, and the reader of the API's description.

It may import the API.
"""

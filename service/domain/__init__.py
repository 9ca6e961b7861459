"""The domain model: images and uploads, errors, the two ports of a backend, search terms.

This wing imports only itself and the standard library.
"""

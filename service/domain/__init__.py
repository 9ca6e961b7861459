"""The words that everything speaks: images and uploads, errors, the two ports, search terms.

It imports the standard library and nothing of the service but itself.
"""

"""The Lambda skin: the same operations behind API Gateway, S3 events and a schedule."""

import gc

# What is made while a function starts, it keeps: looking through it for garbage is a twentieth of a cold start.
gc.set_threshold(50_000)

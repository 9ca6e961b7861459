"""The Lambda skin: the same operations behind API Gateway, S3 events and a schedule."""

import gc
import os
import sys

# What is made while a function starts, it keeps: looking through it for garbage is a twentieth of a cold start.
gc.set_threshold(50_000)


def _import_aiohttp() -> None:
    """Import aiohttp without the machine's certificates: it would read them twice, a tenth of a cold start.

    Nobody needs them: the SDK has certificates of its own, and whoever else speaks TLS here gives a context.
    """
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        import aiohttp  # noqa: F401
    finally:
        del os.environ["SSL_CERT_FILE"]
        if before is not None:
            os.environ["SSL_CERT_FILE"] = before


if "aiohttp" not in sys.modules:
    _import_aiohttp()

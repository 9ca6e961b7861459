"""What pages are tried out on: services and a browser that other tests use, too."""

from tests.browser.conftest import chromium
from tests.process.conftest import on_lambda

__all__ = ["chromium", "on_lambda"]

"""The image service: its core, its backends and its aiohttp skin. See docs/ARCHITECTURE.md."""

"""aiohttp and nothing else: a handler that answers a document of so many bytes, as JSON."""

import sys

from aiohttp import web


def application(size: int) -> web.Application:
    """Return a server's application; /health tells that it is there."""
    document = {"message": "x" * max(size - len('{"message": ""}'), 1)}

    async def hello(_: web.Request) -> web.Response:
        return web.json_response(document)

    app = web.Application()
    app.router.add_get("/{path:.*}", hello)
    return app


if __name__ == "__main__":
    size, port = map(int, sys.argv[1:])
    web.run_app(application(size), host="127.0.0.1", port=port)

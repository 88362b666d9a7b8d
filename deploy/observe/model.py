"""The model of the incident: the counting engine, but it refuses prompts with certain words, as a server that chokes on them.

``python -m deploy.observe.model --port 8000 --refuses "Some Title"``, a process of its own, so that it can be away.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.demo.engines import COUNTING_DELAY_SECONDS
from model_server.counting import Settings, make_app


def make_refusing_app(settings: Settings, words: str) -> web.Application:
    """The counting engine's application, with 400 for prompts that have these words in them."""
    app = make_app(settings)

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if words.encode() in await request.read():
            error = {"message": "this prompt cannot be tokenised", "type": "BadRequestError", "param": None, "code": 400}
            return web.json_response({"error": error}, status=400)
        return await handler(request)

    app.middlewares.append(refuse)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: serves until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m deploy.observe.model", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of 127.0.0.1")
    parser.add_argument("--refuses", required=True, help="words that no prompt may have in it")
    options = parser.parse_args(arguments)
    app = make_refusing_app(Settings(delay_seconds=COUNTING_DELAY_SECONDS), options.refuses)
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()

"""The service under test of :mod:`benchmarks.search_http`: `recsys serve`, and a switch for one decision."""

import dataclasses
import logging
import sys

import uvicorn

from recsys.config import Config, WorkspaceConfig
from recsys.serving.run import listen, open_app, settings
from recsys.workspace import Workspace


def main() -> None:
    root, quick = sys.argv[1], bool(int(sys.argv[2]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    config = Config(workspace=WorkspaceConfig(root=root))
    app = open_app(config, Workspace(root))
    app.state.services = dataclasses.replace(app.state.services, in_event_loop=quick)
    with listen("127.0.0.1", 0) as listener:
        listener.listen()
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(settings(app)).run(sockets=[listener])


if __name__ == "__main__":
    main()

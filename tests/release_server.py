"""A web server with a release in it, for tests: it can break off, be silent and be slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from napari_seglite.catalogue import release
from napari_seglite.checkpoints import CheckpointInfo, CheckpointStore

NAME = "general-tiny"
LICENCE = "CC0"


def make_release(folder: Path, name: str = NAME) -> Path:
    """Write a release with a tiny checkpoint and return its folder."""
    store = CheckpointStore(folder / "store", folder / "nothing")
    info = CheckpointInfo(
        name, "unet-sharp", options={"preset": "tiny"}, description="A start for tests."
    )
    torch.manual_seed(0)
    store.save(info, info.build().state_dict(), bits=16)
    release(store, name, folder / "release", licence=LICENCE)
    return folder / "release"


class Handler(SimpleHTTPRequestHandler):
    """Sends files; of zip files as much as `server.sends` says, and then it does `server.then`."""

    def copyfile(self, source, outputfile):
        server = self.server
        if not self.path.endswith(".zip") or server.sends is None:
            super().copyfile(source, outputfile)
            return
        outputfile.write(source.read(server.sends))
        outputfile.flush()
        if server.then == "silent":
            server.over.wait(60)
        elif server.then == "slow":
            while (piece := source.read(1000)) and not server.over.is_set():
                outputfile.write(piece)
                time.sleep(0.02)
        self.close_connection = True

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[ThreadingHTTPServer]:
    """Serve a folder on this computer; `server.url` is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    server.sends, server.then, server.over = None, "", threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()

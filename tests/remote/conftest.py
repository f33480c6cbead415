"""A Dask scheduler and worker in processes of their own, as they run on another computer."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("distributed")

from napari_seglite import SegmentRequest

TINY = "nuclei-unet-sharp-tiny"


class Cluster:
    """A scheduler and a worker; `tls` are the options of both, `more` those of the worker."""

    def __init__(self, folder, tls=(), protocol="tcp"):
        self.processes, self._tls, self._folder = [], list(tls), folder
        self._file = folder / "scheduler.json"
        self._start(
            "dask_scheduler", f"--host={protocol}://127.0.0.1", "--port=0", f"--scheduler-file={self._file}"
        )
        until = time.monotonic() + 60
        text = ""
        while not text.rstrip().endswith("}") and time.monotonic() < until:
            time.sleep(0.05)
            text = self._file.read_text() if self._file.exists() else ""
        self.url = json.loads(text)["address"]

    def _start(self, program, *options):
        log = (self._folder / f"{program}-{len(self.processes)}.log").open("wb")
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options, *self._tls]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.processes.append(
            subprocess.Popen(
                [*command, "--no-dashboard"], stdout=log, stderr=log, env=environment,
                cwd=self._folder,
            )
        )
        return self.processes[-1]

    def worker(self):
        """Start a worker and return its process."""
        return self._start("dask_worker", self.url, "--no-nanny", "--nthreads=2")

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory):
    """Return a function that starts a cluster; all end with the tests."""
    made = []

    def make(tls=(), protocol="tcp"):
        made.append(Cluster(tmp_path_factory.mktemp("cluster"), tls, protocol))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture(scope="session")
def cluster(make_cluster):
    """Return a cluster with one worker."""
    one = make_cluster()
    one.worker()
    return one


@pytest.fixture(scope="session")
def cells():
    """Return discs on a dark ground, uint8 (200, 232)."""
    rng = np.random.default_rng(3)
    shape = (200, 232)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for _ in range(30):
        cy, cx, r = rng.integers(0, shape[0]), rng.integers(0, shape[1]), rng.integers(5, 12)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < r**2
    return (mask * 100 + 20 + rng.normal(0, 5, shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def request_of():
    """Return a function that makes a request with tiles of 64 pixels."""

    def make(axes="YX", **settings):
        given = {"device": "cpu", "runtime": "torch", "tile": 64, "overlap": 16, **settings}
        return SegmentRequest(TINY, axes, **given)

    return make

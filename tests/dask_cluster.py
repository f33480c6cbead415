"""A Dask scheduler and its workers in processes of their own, as on another computer."""

import json
import os
import subprocess
import sys
import time


class Cluster:
    """A scheduler and its workers; `tls` are the options of both, `files` those of clients."""

    def __init__(self, folder, tls=(), protocol="tcp", files=()):
        self.processes, self._tls, self._folder = [], list(tls), folder
        self.files = [str(file) for file in files]
        self._file = folder / "scheduler.json"
        self._start(
            "dask_scheduler",
            f"--host={protocol}://127.0.0.1",
            "--port=0",
            f"--scheduler-file={self._file}",
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
                [*command, "--no-dashboard"],
                stdout=log,
                stderr=log,
                env=environment,
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

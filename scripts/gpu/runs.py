"""Run the parts of the check, each in a process of its own and for a limited time."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .report import FAILED, Row, Rows, read_rows, reason, verdict_of

# Minutes of each part on a GPU: 7.7 together.
PARTS = {"logits": 0.7, "scan": 0.8, "segment": 1.9, "train": 1.9, "throughput": 2.4}
# Share of its time that a part plans with; the rest is for starting Python and for ending.
PLANNED = 0.85


@dataclass(frozen=True)
class Settings:
    """What all parts need to know.

    Attributes
    ----------
    device : str
        ``"cuda"`` or ``"cpu"``. A CPU gets small sizes.
    folder : str
        For scratch files and checkpoints.
    seed : int
        Of weights, images and shapes.
    networks : tuple of str
        Networks and built-in checkpoints to look at in ``logits`` and ``throughput``; empty for
        all.
    """

    device: str
    folder: str
    seed: int = 0
    networks: tuple[str, ...] = ()

    def wants(self, network: str) -> bool:
        """Whether a network is to be looked at."""
        return not self.networks or network in self.networks

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")


def run_part(part: str, settings: Settings, file: Path, seconds: float) -> Rows:
    """Run a part in this process; an error becomes its last row.

    Parameters
    ----------
    part : str
        One of `PARTS`.
    settings : Settings
        For the part.
    file : Path
        Gets the rows.
    seconds : float
        Time that the part may plan with.
    """
    rows = Rows(part, file, seconds)
    try:
        import_module(f"{__package__}.{part}").run(settings, rows)
    except Exception as error:
        rows.failed("the part ended early", reason(error))
    return rows


def run_all(
    entry: Path,
    parts: Sequence[str],
    device: str,
    minutes: float | None = None,
    seed: int = 0,
    networks: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Run parts one after the other, and return what each found, see `report.write`.

    Each has a process of its own: a fault on the GPU, or a part that hangs, leaves the others
    alone.

    Parameters
    ----------
    entry : Path
        The script, called again for each part.
    parts : sequence of str
        Some of `PARTS`.
    device : str
        See `Settings`.
    minutes : float, optional
        Of every part; those of `PARTS` if not given.
    seed, networks
        See `Settings`.
    """
    found = []
    for part in parts:
        seconds = 60 * (PARTS[part] if minutes is None else minutes)
        with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
            file = Path(folder) / "rows.jsonl"
            settings = Settings(device, folder, seed, tuple(networks))
            begun = time.monotonic()
            why = _run_process(entry, part, settings, file, seconds)
            rows = read_rows(file)
        if why:
            rows.append(Row(part, "the part ended early", FAILED, note=why))
        taken = time.monotonic() - begun
        found.append(
            {"part": part, "verdict": verdict_of(rows), "seconds": round(taken, 1), "rows": rows}
        )
        print(f"{part}: {found[-1]['verdict']}, {taken:.0f} s", file=sys.stderr, flush=True)
    return found


def _run_process(entry: Path, part: str, settings: Settings, file: Path, seconds: float) -> str:
    """Run a part in a new process; return why it ended early, or an empty string."""
    order = {"part": part, "file": str(file), "seconds": PLANNED * seconds, **asdict(settings)}
    words = [sys.executable, str(entry), "--child", json.dumps(order)]
    said = Path(settings.folder) / "stderr.txt"
    with said.open("w") as stream:
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=stream)
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"it was ended after {seconds:.0f} s"
        finally:
            child.kill()
            child.wait()
    lines = said.read_text("utf-8", errors="replace").strip().splitlines()
    return f"exit status {code}: {(lines or ['no message'])[-1]}"[:300] if code else ""


def run_child(order: str) -> None:
    """Run the part that a parent asked for with ``--child``."""
    asked = json.loads(order)
    part, file, seconds = (asked.pop(name) for name in ("part", "file", "seconds"))
    run_part(part, Settings(**asked), Path(file), seconds)


def host(device: str) -> dict[str, Any]:
    """Return the device, and the versions of what computes on it."""
    import torch

    facts: dict[str, Any] = {"device": device, "torch": str(torch.__version__)}
    if device.startswith("cuda"):
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "card": card.name,
            "memory, GB": round(card.total_memory / 1e9, 1),
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
        }
    else:
        facts["threads"] = torch.get_num_threads()
    return {**facts, "Python": platform.python_version(), "system": platform.platform()}

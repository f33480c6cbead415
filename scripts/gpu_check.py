"""Check everything that a GPU computes, with one command, and write one report.

    python scripts/gpu_check.py --output REPORT
    python scripts/gpu_check.py --output REPORT --device cpu --parts logits scan
    python scripts/gpu_check.py --wheels wheels            # where there is a network
    python scripts/gpu_check.py --output REPORT --carried wheels   # where there is none

It needs neither a network nor a screen, neither napari nor Qt. On a recent NVIDIA card all parts
together take less than eight minutes; on a CPU, sizes are small, and what needs CUDA is skipped.

- ``logits``: every network on the device against the CPU, in float32, bfloat16 and float16.
- ``scan``: the selective scan against its reference, forward and backward, on random shapes.
- ``segment``: an image, a stack, a large Zarr, and too little memory.
- ``train``: fine-tuning for a minute, and the seconds from a stroke to its prediction.
- ``throughput``: pixels a second of each network, as a share of what the card can do.

``REPORT/gpu_check.json`` and ``REPORT/gpu_check.md`` hold a row for everything that was looked at.
A part that fails is such a row, and the others go on. The exit status is 1 if a row failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from gpu import report, runs, wheels  # noqa: E402


def check(arguments: argparse.Namespace) -> int:
    """Run the parts, write the report and return the exit status."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu-check-wheels-") as folder:
        if arguments.carried:
            wheels.unpack(arguments.carried, Path(folder))
            before = os.environ.get("PYTHONPATH")
            os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([before] if before else [])])
        parts = runs.run_all(
            Path(__file__),
            arguments.parts,
            arguments.device,
            arguments.minutes,
            arguments.seed,
            arguments.networks,
        )
    for file in report.write(arguments.output, runs.host(arguments.device), parts):
        print(file)
    return int(any(part["verdict"] == report.FAILED for part in parts))


def device() -> str:
    """Return the GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        runs.run_child(sys.argv[2])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="folder")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="the GPU if there is one")
    parser.add_argument("--parts", nargs="+", choices=tuple(runs.PARTS), default=tuple(runs.PARTS))
    parser.add_argument(
        "--networks", nargs="+", default=(), help="or checkpoints; all if not given"
    )
    parser.add_argument("--minutes", type=float, help="of every part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--carried", type=Path, metavar="FOLDER", help="wheels to use")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="download wheels, and end")
    parser.add_argument("--python", default="3.12", help="of the machine that gets the wheels")
    parser.add_argument("--platforms", nargs="+", default=wheels.PLATFORMS, help="likewise")
    arguments = parser.parse_args()
    if arguments.minutes is not None and not arguments.minutes > 0:
        parser.error("--minutes must be above 0")
    if arguments.wheels:
        wheels.download(arguments.wheels, arguments.python, tuple(arguments.platforms))
        return 0
    if arguments.carried and not any(arguments.carried.glob("*.whl")):
        parser.error(f"there is no wheel in {arguments.carried}")
    arguments.device = arguments.device or device()
    if arguments.device == "cuda" and device() == "cpu":
        parser.error("this computer has no CUDA device; try --device cpu")
    return check(arguments)


if __name__ == "__main__":
    sys.exit(main())

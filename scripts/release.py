"""Build a release, check it, and install it where nothing else is installed.

Writes ``dist/``: the source distribution, the wheel, an SPDX list of what was installed with it,
and checksums. Uploads nothing::

    python scripts/release.py
    python scripts/release.py --pythons 3.12 --constraint=   # the newest of everything
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# PyPI's pages and slow connections; the checkpoints are most of it.
LARGEST_WHEEL = 25_000_000
NAME = "napari-seglite"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

# What is run in the new environment: without Qt ...
BASE = """
import importlib.util
for name in ("napari", "qtpy", "PyQt6", "PySide6"):
    assert importlib.util.find_spec(name) is None, f"{name} came along"
"""
OBJECTS = """
import sys, tifffile
labels = tifffile.imread(sys.argv[1])
assert labels.ndim == 2 and labels.max() > 20, (labels.shape, labels.max())
print(labels.max(), "objects")
"""
# ... and with it.
DOCK = """
import napari
viewer = napari.Viewer(show=False)
_, dock = viewer.window.add_plugin_dock_widget("napari-seglite")
print(type(dock).__name__, "opened")
viewer.close()
"""


def main() -> None:
    """Make a release in ``dist/`` and end with an error if anything is wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="*", default=PYTHONS, help="versions to install with")
    parser.add_argument(
        "--constraint",
        default=str(ROOT / "constraints.txt"),
        help="versions to install on the Python that runs this; empty: the newest",
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--build-only", action="store_true", help="install nothing")
    parts.add_argument("--built", action="store_true", help="install what is in dist/ already")
    arguments = parser.parse_args()
    wheel = only_wheel() if arguments.built else build()
    check(wheel)
    check_changelog(wheel.name.split("-")[1])
    if arguments.build_only:
        return
    found = [(version, python) for version in arguments.pythons if (python := interpreter(version))]
    if not found:
        sys.exit(f"No Python of {', '.join(arguments.pythons)} is here: nothing was installed.")
    for version, python in found:
        # Pinned together for the Python of development; the newest releases everywhere else.
        own = version == "{}.{}".format(*sys.version_info)
        for extra in ("", "all"):
            try_installation(wheel, python, extra, arguments.constraint if own else "")
    missing = [v for v in arguments.pythons if v not in dict(found)]
    write_checksums()
    print(f"{wheel.name} is ready", *[f"(no Python {v} here)" for v in missing])


def run(*words: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Show a command and run it; end if it fails."""
    print("+", *words, flush=True)
    if subprocess.run(words, cwd=cwd, env=env).returncode:
        sys.exit(f"release: {words[0]} failed")


def build() -> Path:
    """Build both distributions in `DIST`, the wheel from the source distribution; return it."""
    shutil.rmtree(DIST, ignore_errors=True)
    # With the versions of this environment, which packaging/release.txt fixes by their hashes.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)
    return only_wheel()


def only_wheel() -> Path:
    """Return the wheel in `DIST`; end if there is not exactly one."""
    found = list(DIST.glob("*.whl"))
    if len(found) != 1:
        sys.exit(f"release: {DIST} has {len(found)} wheels, not one")
    return found[0]


def check(wheel: Path) -> None:
    """Check metadata and contents of a wheel and of what lies beside it, and its size."""
    archives = [wheel, *wheel.parent.glob("*.tar.gz")]
    run(sys.executable, "-m", "twine", "check", "--strict", *archives)
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    size = wheel.stat().st_size
    print(f"{size / 1e6:.1f} MB of at most {LARGEST_WHEEL / 1e6:.0f}")
    if size > LARGEST_WHEEL:
        sys.exit(f"release: {wheel.name} is too large")


def check_changelog(version: str) -> None:
    """End if the changelog has no section for a version that is no development version."""
    if "dev" in version or "+" in version:
        return
    headings = re.findall(r"^## \[?([^\s\]]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    if version not in headings:
        sys.exit(f"release: CHANGELOG.md has no section for {version}")


def interpreter(version: str) -> str | None:
    """Return a Python of this version that runs, or None."""
    name = f"python{version}"
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    found = shutil.which(name)
    if not found or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        return None
    return found


def try_installation(wheel: Path, python: str, extra: str, constraint: str) -> None:
    """Install the wheel with an extra in a new environment and use it there.

    Parameters
    ----------
    wheel : Path
        What to install.
    python : str
        The interpreter to make the environment with.
    extra : str
        Of ``setup.cfg``; empty for none, which must bring no Qt.
    constraint : str
        File of versions; empty for the newest.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run(python, "-m", "venv", home / "venv")
        bin_ = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
        limits = ["--constraint", constraint] if constraint else []
        named = f"napari-seglite[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        run(bin_ / "python", "-m", "pip", "install", "--quiet", *limits, named)
        run(bin_ / "python", "-m", "pip", "check")
        # Nothing of this checkout, and no settings of whoever runs it.
        apart = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "QT_API")}
        apart |= {"HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}
        if extra:
            run(bin_ / "npe2", "validate", "napari-seglite", cwd=home, env=apart)
            run(bin_ / "python", "-c", DOCK, cwd=home, env=apart)
            run(sys.executable, ROOT / "scripts" / "sbom.py", wheel, site(bin_), DIST)
            return
        run(bin_ / "python", "-c", BASE, cwd=home, env=apart)
        sample = site(bin_) / "napari_seglite" / "samples" / "nuclei-fluorescence.png"
        start = ("--checkpoint", "nuclei-s-net", "--device", "cpu", "--output", str(home / "out"))
        run(bin_ / "seglite", "--version", cwd=home, env=apart)
        run(bin_ / "seglite", "segment", sample, *start, cwd=home, env=apart)
        labels = home / "out" / f"{sample.stem}_labels.tif"
        run(bin_ / "python", "-c", OBJECTS, labels, cwd=home, env=apart)


def site(bin_: Path) -> Path:
    """Return the folder of packages of an environment."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([bin_ / "python", "-c", code], text=True).strip())


def write_checksums() -> None:
    """Write SHA-256 of every file in `DIST`, as ``sha256sum --check`` reads it."""
    target = DIST / "SHA256SUMS"
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(DIST.iterdir())
        if path != target
    ]
    target.write_text("".join(lines))


if __name__ == "__main__":
    main()

"""Make the README's first screenshot.

    make screenshots

Writes ``docs/images/segment.png``. Also saves the tabs in a small window to a temporary folder and
prints the paths. ``loop_screenshots.py`` makes the other screenshots.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# The developer's own settings and checkpoints must neither be visible nor change.
scratch = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = str(Path(scratch) / "settings.yaml")
os.environ["SEGLITE_DATA"] = scratch

from napari_seglite.widgets import demo  # noqa: E402

FOLDER = Path(__file__).parent.parent / "docs" / "images"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    viewer, dock = demo.build()
    viewer.window.resize(1600, 1000)
    dock.segment_panel.segment()
    demo.wait(lambda: not dock.segment_panel.busy)
    demo.screenshot(viewer, FOLDER / "segment.png")

    viewer.window.resize(1280, 720)
    for name in ("segment", "correct", "fine_tune", "models", "compare"):
        dock.show_panel(getattr(dock, f"{name}_panel"))
        demo.screenshot(viewer, Path(scratch) / f"{name}-small.png")
        print(Path(scratch) / f"{name}-small.png")
    viewer.close()
    print(FOLDER)


if __name__ == "__main__":
    main()

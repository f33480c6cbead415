"""Make the README's first picture from the real program.

    make screenshots

Writes ``docs/images/segment.png``, and every tab in a small window into a scratch folder, whose
path it prints. The other pictures come from ``loop_screenshots.py``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Settings and checkpoints of whoever runs this must neither show nor change.
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

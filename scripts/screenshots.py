"""Make the README's pictures from the real program.

    make screenshots

Writes ``docs/images/segment.png`` and ``docs/images/fine-tune.png``. The second shows a real,
short training run on the sample image.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Settings and checkpoints of whoever runs this must neither show nor change.
scratch = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"] = str(Path(scratch) / "settings.yaml")
os.environ["SEGLITE_DATA"] = scratch

from napari_seglite import demo  # noqa: E402

FOLDER = Path(__file__).parent.parent / "docs" / "images"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    viewer, dock = demo.build()
    viewer.window.resize(1600, 1000)
    dock.segment_panel.segment()
    demo.wait(lambda: not dock.segment_panel.busy)
    demo.screenshot(viewer, FOLDER / "segment.png")

    shown = dock.segment_panel.last
    assert shown is not None, dock.segment_panel.status.text()
    layer = shown.layer
    layer.brush_size = 14
    for x in range(300, 330):
        layer.paint((260, x), int(layer.data.max()))
    dock.show_panel(dock.fine_tune_panel)
    panel = dock.fine_tune_panel
    panel.steps.setValue(60)
    panel.fine_tune()
    demo.wait(lambda: not panel.busy or len(panel.curve.loss) >= 25)
    demo.screenshot(viewer, FOLDER / "fine-tune.png")
    panel.stop()
    demo.wait(lambda: not panel.busy)

    viewer.window.resize(1280, 720)
    for name in ("segment", "correct", "fine_tune", "models", "compare"):
        dock.show_panel(getattr(dock, f"{name}_panel"))
        demo.screenshot(viewer, Path(scratch) / f"{name}-small.png")
        print(Path(scratch) / f"{name}-small.png")
    viewer.close()
    print(FOLDER)


if __name__ == "__main__":
    main()

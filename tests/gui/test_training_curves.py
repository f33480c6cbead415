import importlib.util
import sys

from qtpy.QtWidgets import QLabel

from napari_seglite.widgets.common import training_curves


def test_without_pyqtgraph_the_numbers_are_shown_and_what_to_install(qtbot, monkeypatch):
    """As after an installation by napari, which brings Qt but not pyqtgraph."""
    monkeypatch.setitem(sys.modules, "pyqtgraph", None)
    spec = importlib.util.find_spec(training_curves.__name__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    curves = module.TrainingCurves()
    qtbot.addWidget(curves)
    curves.show()
    label = curves.findChild(QLabel)
    assert "pip install pyqtgraph" in label.text()
    curves.add_loss(3, 0.5)
    curves.add_dice(4, 0.8)
    assert all(text in label.text() for text in ("loss 0.500", "Dice 0.800", "step 4"))
    curves.show_curves({"loss": [[9, 0.25]], "dice": [[9, 0.9]]})
    assert "Dice 0.900" in label.text()
    assert curves.sizeHint().isValid()
    curves.clear()
    assert "Dice 0.900" not in label.text()

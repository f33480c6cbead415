"""Settings of the last session, in napari's plugin preferences, or in Qt's before napari 0.9."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-seglite"
SECTION = "segment"


def load(defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the stored values for the keys of `defaults`, and its values for keys not stored."""
    section = _napari_section()
    if section is not None:
        return {key: getattr(section, key, value) for key, value in defaults.items()}
    stored = _qt_settings()
    # QSettings may return numbers and booleans as text.
    return {
        key: _typed(stored.value(f"{SECTION}/{key}", value), value)
        for key, value in defaults.items()
    }


def save(values: dict[str, Any]) -> None:
    """Store values for the next session."""
    section = _napari_section()
    for key, value in values.items():
        if section is not None:
            setattr(section, key, value)
        else:
            _qt_settings().setValue(f"{SECTION}/{key}", value)


def _napari_section() -> Any:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:  # before napari 0.9
        return None
    try:
        return getattr(get_plugin_settings(PLUGIN), SECTION, None)
    except KeyError:  # the plugin runs without being installed as one
        return None


def _qt_settings() -> Any:
    from qtpy.QtCore import QSettings

    return QSettings("napari", PLUGIN)


def _typed(value: Any, like: Any) -> Any:
    if isinstance(like, bool):
        return value in (True, "true")
    try:
        return type(like)(value)
    except (TypeError, ValueError):
        return like

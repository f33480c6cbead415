"""Formats that are not read, and the programs that convert them."""

from __future__ import annotations

from pathlib import Path

# Endings of files' names, and whose they are.
_MAKERS = {
    **dict.fromkeys((".oib", ".oif", ".oir", ".poir", ".vsi", ".ets"), "Olympus"),
    **dict.fromkeys((".ims", ".imaris"), "Imaris"),
    **dict.fromkeys((".mrxs",), "3DHISTECH"),
    **dict.fromkeys((".vms", ".vmu", ".ndpis"), "Hamamatsu"),
    **dict.fromkeys((".dv", ".r3d"), "DeltaVision"),
    **dict.fromkeys((".zvi", ".lei", ".xlef", ".xlif", ".lof"), "Zeiss or Leica"),
    **dict.fromkeys((".sld", ".sldy", ".spl"), "SlideBook"),
    **dict.fromkeys((".ipl", ".ipw", ".ids", ".ics"), "ICS or Image-Pro"),
    **dict.fromkeys((".liff", ".mvd2", ".acff", ".aisf"), "Volocity or Openlab"),
    **dict.fromkeys((".nef", ".cr2", ".arw", ".dng", ".raf"), "camera's raw"),
    **dict.fromkeys((".pic", ".c01", ".dib", ".htd", ".xdce", ".mea"), "screening or Bio-Rad"),
    **dict.fromkeys((".isyntax", ".tdf", ".afi"), "slide scanner's"),
}


def advice(path: Path) -> str | None:
    """Return what to do with a file of a known format that is not read; None for any other."""
    maker = _MAKERS.get(path.suffix.lower())
    if maker is None:
        return None
    article = "an" if maker[0] in "AEIOU" else "a"
    return (
        f"this is {article} {maker} file, which SegLite does not read. Convert it to OME-TIFF, "
        f"with Fiji (File > Import > Bio-Formats) or in a shell: bfconvert {path.name} "
        f"{path.stem}.ome.tif"
    )

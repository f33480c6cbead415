"""Writers of Nikon's and Leica's files, as small as their libraries accept them."""

import json
import struct

import numpy as np


def write_nd2(path, frames, loops, channels=("DAPI",), pixel=0.25, drop=()):
    """Write an ND2 file.

    Parameters
    ----------
    path : Path
        Of the file.
    frames : ndarray
        ``(N, H, W, C)`` uint16, in the order of the loops.
    loops : list of tuple
        Kind and parameters of each loop, the outermost first.
    channels : tuple of str
        Names.
    pixel : float
        Micrometres.
    drop : collection of int
        Frames that are left out.
    """
    count, height, width, _ = frames.shape
    planes = {
        f"a{k}": {"sDescription": name, "uiCompCount": 1, "pFluorescentProbe": {"a": 1}}
        for k, name in enumerate(channels)
    }
    kinds = {"T": 1, "P": 2, "Z": 4}
    experiment = {}
    for kind, parameters in reversed(loops):
        below = {"": experiment} if experiment else {}
        experiment = {"eType": kinds[kind], "uLoopPars": parameters}
        if below:
            experiment["ppNextLevelEx"] = below
    chunks = {
        b"ImageAttributesLV!": _level(
            {
                "SLxImageAttributes": {
                    "uiWidth": width, "uiHeight": height, "uiComp": len(channels),
                    "uiWidthBytes": width * 2 * len(channels), "uiBpcInMemory": 16,
                    "uiBpcSignificant": 16, "uiSequenceCount": count, "eCompression": 2,
                }
            }
        ),
        b"ImageMetadataSeqLV|0!": _level(
            {
                "SLxPictureMetadata": {
                    "bCalibrated": True, "dCalibration": pixel,
                    "sPicturePlanes": {"uiCount": len(channels), "sPlaneNew": planes},
                }
            }
        ),
        b"ImageMetadataLV!": _level({"SLxExperiment": experiment}),
    }  # fmt: skip
    for k, frame in enumerate(frames):
        if k not in drop:
            chunks[b"ImageDataSeq|%d!" % k] = bytes(8) + frame.astype("<u2").tobytes()
    _write_chunks(path, chunks)


def time_loop(count, milliseconds):
    """Return a loop over time points."""
    return "T", {"uiCount": count, "dStart": 0.0, "dPeriod": milliseconds, "dDuration": 0.0}


def z_loop(count, micrometres):
    """Return a loop over slices."""
    return "Z", {"uiCount": count, "dZStep": micrometres}


def position_loop(names):
    """Return a loop over positions of the stage."""
    points = {f"p{k}": {"dPosX": 10.0 * k, "dPosName": name} for k, name in enumerate(names)}
    return "P", {"Points": points, "uiCount": len(names)}


def _write_chunks(path, chunks):
    """Write chunks, then the map of where they are."""
    magic, places = 0x0ABECEDA, {}
    with path.open("wb") as file:
        name = b"ND2 FILE SIGNATURE CHUNK NAME01!"
        file.write(struct.pack("<IIQ", magic, 32, 64) + name + b"Ver3.0".ljust(64, b"\0"))
        for key, data in chunks.items():
            file.seek(-(-file.tell() // 4096) * 4096)
            places[key] = (file.tell(), len(data))
            file.write(struct.pack("<IIQ", magic, 4072, len(data)) + key.ljust(4072, b"\0") + data)
        where = file.tell()
        entries = b"".join(key + struct.pack("<QQ", *place) for key, place in places.items())
        signature = b"ND2 CHUNK MAP SIGNATURE 0000001!"
        entries += signature + struct.pack("<Q", where)
        name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
        file.write(struct.pack("<IIQ", magic, 32, len(entries)) + name + entries)


def _level(values):
    """Return a dictionary in Nikon's binary form."""
    data = b""
    for name, value in values.items():
        kind, body = _value(value)
        coded = (name + "\0").encode("utf-16-le")
        head = struct.pack("<BB", kind, len(coded) // 2) + coded
        if kind == 11:  # a level counts its entries and the bytes of its own head
            length = len(head) + 12 + len(body)
            body = struct.pack("<IQ", len(value), length) + body + bytes(8 * len(value))
        data += head + body
    return data


def _value(value):
    if isinstance(value, dict):
        return 11, _level(value)
    if isinstance(value, bool):
        return 1, struct.pack("<B", value)
    if isinstance(value, int):
        return 3, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<d", value)
    return 8, (value + "\0").encode("utf-16-le")


DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "A": 6, "M": 10}


def write_lif(path, images):
    """Write a LIF file.

    Parameters
    ----------
    path : Path
        Of the file.
    images : list of tuple
        Name, array, letters of its axes, and metres or seconds between entries by letter. The
        channels, if any, are named in the order of ``DAPI``, ``GFP``, ``RFP``.
    """
    elements, blocks = "", b""
    for k, (name, array, letters, steps) in enumerate(images):
        strides = dict(zip(letters, array.strides, strict=True))
        sizes = dict(zip(letters, array.shape, strict=True))
        bits = 8 * array.dtype.itemsize
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{bits}" '
            f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{dye}" IsLUTInverted="0" '
            f'BytesInc="{c * strides.get("C", 0)}" BitInc="0"/>'
            for c, dye in enumerate(("DAPI", "GFP", "RFP")[: sizes.get("C", 1)])
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{DIMENSIONS[a]}" NumberOfElements="{sizes[a]}" '
            f'Origin="0" Length="{steps.get(a, 0) * (sizes[a] - 1)}" Unit="m" BitInc="0" '
            f'BytesInc="{strides[a]}"/>'
            for a in letters
            if a != "C"
        )
        elements += (
            f'<Element Name="{name}" UniqueID="{k}"><Data><Image><ImageDescription><Channels>'
            f"{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image>"
            f'</Data><Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{k}"/></Element>'
        )
        title = f"MemBlock_{k}".encode("utf-16-le")
        blocks += struct.pack("<IIBQBI", 0x70, 0, 0x2A, array.nbytes, 0x2A, len(title) // 2)
        blocks += title + np.ascontiguousarray(array).tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="all" UniqueID="x"><Data/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    head = struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2)
    path.write_bytes(head + xml + blocks)


def write_micromanager(path, planes, summary):
    """Write a stack as Micro-Manager does: pages of 162 bytes before their pixels, and an index.

    Parameters
    ----------
    path : Path
        Of the file.
    planes : list of tuple
        Channel, slice, frame and position, and the pixels, uint8.
    summary : dict
        Of the acquisition.
    """
    text = json.dumps(summary).encode()
    head = struct.pack("<I", 2355492) + struct.pack("<I", len(text)) + text
    start = 32 + len(head)
    index, body = b"", b""
    for k, (place, pixels) in enumerate(planes):
        offset = start + len(body)
        height, width = pixels.shape
        after = 0 if k == len(planes) - 1 else offset + 162 + pixels.nbytes
        longs = {
            254: 0, 256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: offset + 162, 277: 1,
            278: height, 279: pixels.nbytes, 284: 1, 339: 1,
        }  # fmt: skip
        tags = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in longs.items())
        tags += struct.pack("<HHII", 51123, 2, len(text), 40)
        body += (
            struct.pack("<H", len(longs) + 1) + tags + struct.pack("<I", after) + pixels.tobytes()
        )
        index += struct.pack("<5I", *place, offset)
    where = start + len(body)
    table = struct.pack("<II", 3453623, len(planes)) + index
    pointers = struct.pack("<6I", 54773648, where, 483765892, 0, 99384722, 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + pointers + head + body + table)

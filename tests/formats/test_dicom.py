"""DICOM: files as scanners, PACS and other programs make them, and segmentations of them."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from napari_seglite.errors import ImageError
from napari_seglite.formats import (
    list_scenes,
    read_image,
    read_label_file,
    read_label_pair,
    read_labels_for,
    read_recipe,
    write_labels,
)

PLACE = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}


@pytest.fixture
def pixels():
    """Return slices uint16 (4, 20, 30) of 12 bits."""
    return np.random.default_rng(0).integers(0, 4000, (4, 20, 30), np.uint16)


def item(**values):
    """Return a dataset; values that are dictionaries become sequences of one item."""
    dataset = Dataset()
    for name, value in values.items():
        several = isinstance(value, list) and value and isinstance(value[0], Dataset)
        nested = [item(**value)] if isinstance(value, dict) else value
        setattr(dataset, name, list(nested) if several else nested)
    return dataset


def image(pixels, **values):
    """Return a file as a scanner makes it, of one frame or, with three axes, of several."""
    dataset = item(**values)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = values.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = values.get("SOPInstanceUID", generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesInstanceUID = values.get("SeriesInstanceUID", "1.2.3")
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2", "1.2.9"
    dataset.Modality = values.get("Modality", "CT")
    colour = pixels.shape[-1] == 3
    rows = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = rows
    if pixels.ndim - colour == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = values.get("BitsStored", dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if "PhotometricInterpretation" not in values:
        dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour and "PlanarConfiguration" not in values:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(path, dataset):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def series(folder, pixels, places, name="{}.dcm", **values):
    """Write slices of a series, each with its place along Z."""
    for k, (plane, place) in enumerate(zip(pixels, places, strict=True)):
        own = {n: v[k] if isinstance(v, list) and n != "ImageOrientationPatient" else v
               for n, v in values.items()}  # fmt: skip
        own = {"InstanceNumber": k + 1, "PixelSpacing": [0.5, 0.25], **PLACE, **own}
        save(folder / name.format(k), image(plane, ImagePositionPatient=[-10, 20, place], **own))
    return folder


def said(found):
    return " ".join(found.notices)


# ------------------------------------------------------------------ series
def test_slices_are_sorted_by_place_whatever_their_names(tmp_path, pixels):
    order = [2, 0, 3, 1]
    series(tmp_path / "PA0" / "ST0", pixels[order], [2.5 * k for k in order], "IM{}")
    found = read_image(tmp_path)
    np.testing.assert_array_equal(found.array, pixels)
    assert (found.axes.order, found.spacing, found.unit) == ("ZYX", (2.5, 0.5, 0.25), "mm")
    # Left and front of the patient are negative in NIfTI's directions.
    wanted = [[-0.25, 0, 0, 10], [0, -0.5, 0, -20], [0, 0, 2.5, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(found.grid.affine, wanted)
    assert found.notices == ()
    one = read_image(tmp_path / "PA0" / "ST0" / "IM1")
    assert (one.axes.order, one.spacing) == ("YX", (0.5, 0.25))
    np.testing.assert_array_equal(one.array, pixels[0])


def test_each_slice_is_scaled_by_its_own_numbers(tmp_path, pixels):
    slopes, shifts = [1, 2, 1, 3], [-1024, 0, 5, -1]
    series(tmp_path / "a", pixels, range(4), RescaleSlope=slopes, RescaleIntercept=shifts)
    found = read_image(tmp_path / "a").array
    wanted = pixels * np.array(slopes)[:, None, None] + np.array(shifts)[:, None, None]
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype.kind == "i"
    series(tmp_path / "b", pixels, range(4), RescaleSlope=[0.5] * 4, RescaleIntercept=[0] * 4)
    assert read_image(tmp_path / "b").array.dtype == np.float32
    np.testing.assert_allclose(read_image(tmp_path / "b").array, pixels / 2)


def test_a_missing_slice_is_named_and_the_distance_stays(tmp_path, pixels):
    found = read_image(series(tmp_path, pixels, [0, 2.5, 7.5, 10]))
    assert found.spacing == (2.5, 0.5, 0.25)
    assert "1 slice is missing, between 2.5 mm (1.dcm) and 7.5 mm (2.dcm)" in said(found)
    assert found.grid.affine is None  # no affine is right on both sides
    uneven = read_image(series(tmp_path / "b", pixels, [0, 2, 5, 7]))
    assert "2 to 3 mm apart" in said(uneven)


@pytest.mark.parametrize(
    "times",
    [
        {"TemporalPositionIdentifier": [1, 1, 2, 2]},
        {"AcquisitionTime": ["100000.0", "100000.1", "100002.0", "100002.1"]},
        {"TriggerTime": [0, 0, 2000, 2000]},
        {"EchoTime": [5, 5, 9, 9]},
        {},
    ],
)
def test_two_times_at_the_same_places(tmp_path, pixels, times):
    series(tmp_path, pixels, [0, 2.5, 0, 2.5], name="{}", **times)
    found = read_image(tmp_path)
    assert (found.axes.order, found.array.shape) == ("TZYX", (2, 2, 20, 30))
    np.testing.assert_array_equal(found.array, pixels.reshape(2, 2, 20, 30))
    assert found.spacing[1:] == (2.5, 0.5, 0.25)
    timed = "AcquisitionTime" in times or "TriggerTime" in times
    assert (found.spacing[0], found.units[0]) == ((2.0, "s") if timed else (1.0, "pixel"))
    assert ("EchoTime" in times) == ("differ in EchoTime" in said(found))


def test_an_incomplete_time_and_copies_of_files(tmp_path, pixels):
    series(tmp_path / "a", pixels[:3], [0, 2.5, 0], TemporalPositionIdentifier=[1, 1, 2])
    with pytest.raises(ImageError, match="some are missing or too many"):
        read_image(tmp_path / "a")
    series(tmp_path / "b", pixels, [0, 1, 2, 2], SOPInstanceUID=["1.1", "1.2", "1.3", "1.3"])
    found = read_image(tmp_path / "b")
    assert found.array.shape == (3, 20, 30)
    assert "1 files are copies" in said(found)


def test_series_of_one_folder_are_several_images(tmp_path, pixels):
    series(tmp_path, pixels, range(4), "a{}", SeriesNumber=3, SeriesDescription="arterial")
    series(tmp_path, pixels[:2] // 2, range(2), "b{}", SeriesInstanceUID="9", SeriesNumber=4)
    scout = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "ImageType": ["O", "P", "LOCALIZER"]}
    save(tmp_path / "c", image(pixels[0, :10], SeriesInstanceUID="8", SeriesNumber=1,
                               ImagePositionPatient=[0, 0, 0], **scout))  # fmt: skip
    assert list_scenes(tmp_path) == ("arterial", "series 4", "series 1")
    assert "image 1 of 3" in said(read_image(tmp_path))
    np.testing.assert_array_equal(read_image(tmp_path).array, pixels)
    np.testing.assert_array_equal(read_image(f"{tmp_path}#series 4").array, pixels[:2] // 2)
    assert read_image(tmp_path, "3").array.shape == (10, 30)


def test_a_tilted_gantry_is_said(tmp_path, pixels):
    a = np.deg2rad(20)
    tilted = [1, 0, 0, 0, np.cos(a), -np.sin(a)]
    found = read_image(series(tmp_path, pixels, range(0, 20, 5), ImageOrientationPatient=tilted))
    assert "sheared by 20.0°" in said(found)
    assert found.spacing[0] == pytest.approx(5 * np.cos(a))
    np.testing.assert_allclose(found.grid.affine[:3, 2], [0, 0, 5], atol=1e-6)


# ------------------------------------------------------------------ sizes and times
@pytest.mark.parametrize(
    ("values", "sizes", "unit", "notice"),
    [
        ({"PixelSpacing": [0.5, 0.25], "ImagerPixelSpacing": [1, 1]}, (0.5, 0.25), "mm", ""),
        ({"ImagerPixelSpacing": [0.5, 0.25]}, (0.5, 0.25), "mm", "detector"),
        ({"NominalScannedPixelSpacing": [0.5, 0.25]}, (0.5, 0.25), "mm", ""),
        ({"PixelAspectRatio": [2, 1]}, (2.0, 1.0), "pixel", ""),
        ({"PixelSpacing": [0, 0]}, (1.0, 1.0), "pixel", ""),
        ({}, (1.0, 1.0), "pixel", ""),
    ],
)
def test_where_the_size_of_a_pixel_may_stand(tmp_path, pixels, values, sizes, unit, notice):
    found = read_image(save(tmp_path / "a.dcm", image(pixels[0], **values)))
    assert (found.spacing, found.unit) == (sizes, unit)
    assert notice in said(found)


def test_ultrasound_is_a_film_with_sizes_in_centimetres(tmp_path, pixels):
    def region(delta, right, unit=3):
        return item(PhysicalUnitsXDirection=unit, PhysicalUnitsYDirection=unit,
                    PhysicalDeltaX=delta, PhysicalDeltaY=-2 * delta, RegionLocationMinX0=0,
                    RegionLocationMaxX1=right, RegionLocationMinY0=0,
                    RegionLocationMaxY1=9)  # fmt: skip

    film = image(pixels, Modality="US", FrameTime=40,
                 SequenceOfUltrasoundRegions=[region(1, 30, 4), region(0.02, 20)])  # fmt: skip
    found = read_image(save(tmp_path / "us.dcm", film))
    assert (found.axes.order, found.units) == ("TYX", ("s", "mm", "mm"))
    assert found.spacing == pytest.approx((0.04, 0.4, 0.2))
    del film.FrameTime
    film.FrameTimeVector = [0, 40, 40, 100]
    found = read_image(save(tmp_path / "us.dcm", film))
    assert found.spacing[0] == pytest.approx(0.06)
    assert "not evenly spaced" in said(found)


# ------------------------------------------------------------------ enhanced
def enhanced(pixels, per_frame, shared=None, **values):
    measures = {"PixelSpacing": [0.5, 0.25], "SliceThickness": 3, "SpacingBetweenSlices": 2.5}
    groups = {
        "PixelMeasuresSequence": measures,
        "PlaneOrientationSequence": PLACE,
        "PixelValueTransformationSequence": {"RescaleSlope": 2, "RescaleIntercept": -1000},
        **(shared or {}),
    }
    return image(
        pixels, SharedFunctionalGroupsSequence=[item(**groups)],
        PerFrameFunctionalGroupsSequence=[item(**each) for each in per_frame],
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", **values,
    )  # fmt: skip


def at(z, **content):
    return {
        "PlanePositionSequence": {"ImagePositionPatient": [0, 0, z]},
        "FrameContentSequence": content,
    }


def test_an_enhanced_file_says_all_in_its_functional_groups(tmp_path, pixels):
    order = [2, 0, 3, 1]
    found = read_image(save(tmp_path / "e", enhanced(pixels[order], [at(2.5 * k) for k in order])))
    np.testing.assert_array_equal(found.array, pixels.astype(int) * 2 - 1000)
    assert (found.axes.order, found.spacing, found.unit) == ("ZYX", (2.5, 0.5, 0.25), "mm")
    np.testing.assert_allclose(np.diag(found.grid.affine), [-0.25, -0.5, 2.5, 1])


def test_scales_of_single_frames_and_unstated_directions(tmp_path, pixels):
    frames = [{**at(k), "PixelValueTransformationSequence": {"RescaleSlope": k + 1,
                                                            "RescaleIntercept": 0}}
              for k in (3, 2, 1, 0)]  # fmt: skip
    dataset = enhanced(pixels, frames)
    del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    found = read_image(save(tmp_path / "e.dcm", dataset))
    np.testing.assert_array_equal(found.array, pixels[::-1] * np.arange(1, 5)[:, None, None])
    assert found.spacing[0] == 1
    assert found.grid.affine is None


def test_enhanced_times_and_stacks(tmp_path, pixels):
    frames = [at(k // 2, TemporalPositionIndex=2 - k % 2) for k in range(4)]
    found = read_image(save(tmp_path / "t.dcm", enhanced(pixels, frames)))
    assert found.axes.order == "TZYX"
    np.testing.assert_array_equal(found.array[0, 1], pixels[3].astype(int) * 2 - 1000)
    frames = [at(k, StackID=str(1 + k // 2)) for k in range(4)]
    path = save(tmp_path / "s.dcm", enhanced(pixels, frames, SeriesDescription="spine"))
    assert list_scenes(path) == ("spine", "spine, stack 2")
    np.testing.assert_array_equal(read_image(path, 2).array, pixels[2:].astype(int) * 2 - 1000)


def test_frames_with_a_number_instead_of_a_place(tmp_path, pixels):
    frames = [{"FrameContentSequence": {"StackID": "1", "InStackPositionNumber": k}}
              for k in (2, 1, 4, 3)]  # fmt: skip
    found = read_image(save(tmp_path / "e.dcm", enhanced(pixels, frames)))
    np.testing.assert_array_equal(found.array, pixels[[1, 0, 3, 2]].astype(int) * 2 - 1000)
    assert (found.axes.order, found.spacing) == ("ZYX", (2.5, 0.5, 0.25))
    assert found.grid.affine is None


def test_doses_are_slices(tmp_path, pixels):
    dose = image(pixels, Modality="RTDOSE", GridFrameOffsetVector=[0, 3, 6, 9], PixelSpacing=[2, 2],
                 ImagePositionPatient=[0, 0, 5], DoseGridScaling=0.5, **PLACE)  # fmt: skip
    found = read_image(save(tmp_path / "d.dcm", dose))
    assert (found.axes.order, found.spacing) == ("ZYX", (3.0, 2.0, 2.0))
    np.testing.assert_allclose(found.array, pixels / 2)


# ------------------------------------------------------------------ pictures
def test_low_values_that_are_white_come_as_displayed(tmp_path, pixels):
    values = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12}
    path = save(tmp_path / "a.dcm", image(4095 - pixels[0], **values))
    found = read_image(path)
    np.testing.assert_array_equal(found.array, pixels[0])
    assert "MONOCHROME1" in said(found)
    np.testing.assert_array_equal(read_label_file(path).array, 4095 - pixels[0])


def test_bits_above_the_stored_ones_are_no_pixels(tmp_path, pixels):
    path = save(tmp_path / "a.dcm", image(pixels[0] | 0xF000, BitsStored=12))
    np.testing.assert_array_equal(read_image(path).array, pixels[0])
    signed = pixels[0].astype(np.int16) - 2000
    path = save(tmp_path / "a.dcm", image(signed & 0x0FFF, BitsStored=12))
    np.testing.assert_array_equal(read_image(path).array, signed)


def test_palettes_are_colours_or_labels(tmp_path, pixels):
    indices = (pixels[0] % 8).astype(np.uint8)
    palette = np.random.default_rng(1).integers(0, 2**16, (3, 8)).astype("<u2")
    colours = dict(zip(("Red", "Green", "Blue"), palette, strict=True))
    dataset = image(indices, PhotometricInterpretation="PALETTE COLOR")
    for name, table in colours.items():
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [8, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", table.tobytes())
    path = save(tmp_path / "p.dcm", dataset)
    found = read_image(path)
    assert (found.axes.order, found.rgb) == ("YXC", True)
    np.testing.assert_array_equal(found.array, palette.T[indices])
    np.testing.assert_array_equal(read_label_file(path).array, indices)


def test_colours_in_any_layout(tmp_path):
    colours = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)
    planar = image(colours, PlanarConfiguration=1)
    planar.PixelData = np.ascontiguousarray(colours.transpose(2, 0, 1)).tobytes()
    found = read_image(save(tmp_path / "planar.dcm", planar))
    assert (found.axes.order, found.rgb) == ("YXC", True)
    np.testing.assert_array_equal(found.array, colours)
    # DICOM's YBR_FULL is the full range of JPEG.
    r, g, b = np.moveaxis(colours.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    ybr = np.stack([y, 128 + 0.564 * (b - y), 128 + 0.713 * (r - y)], -1).round().astype(np.uint8)
    path = save(tmp_path / "ybr.dcm", image(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(read_image(path).array.astype(int) - colours).max() <= 4
    film = read_image(
        save(tmp_path / "film.dcm", image(np.stack([colours, colours // 2]), Modality="ES"))
    )
    assert film.axes.order == "TYXC"


def test_compressed_pixels_are_read_or_the_decoder_is_named(tmp_path, pixels):
    dataset = image(pixels)
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read_image(save(tmp_path / "r.dcm", dataset)).array, pixels)
    import imagecodecs

    dataset = image(pixels[0])
    dataset.PixelData = encapsulate(
        [imagecodecs.jpeg2k_encode(pixels[0], level=0, codecformat="J2K")]
    )
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    np.testing.assert_array_equal(read_image(save(tmp_path / "j.dcm", dataset)).array, pixels[0])
    smooth = np.add.outer(np.arange(20), np.arange(30))[..., None] * [4, 2, 1] % 256
    smooth = smooth.astype(np.uint8)
    dataset = image(smooth, PhotometricInterpretation="YBR_FULL")
    dataset.PixelData = encapsulate([imagecodecs.jpeg8_encode(smooth, level=99, subsampling="444")])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    decoded = read_image(save(tmp_path / "b.dcm", dataset)).array
    assert np.abs(decoded.astype(int) - smooth).mean() < 3
    dataset = image(pixels[0])
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(ImageError, match=r"l\.dcm: .*(pip install pylibjpeg|damaged)"):
        read_image(save(tmp_path / "l.dcm", dataset))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    with pytest.raises(ImageError, match=r"MPEG2.*ffmpeg"):
        read_image(save(tmp_path / "m.dcm", dataset))


# ------------------------------------------------------------------ what is no image
def test_what_cannot_be_read_is_said(tmp_path, pixels):
    lying = image(pixels[0], **PLACE)
    lying.NumberOfFrames = 1_000_000_000
    with pytest.raises(ImageError, match=r"lying\.dcm: it claims"):
        read_image(save(tmp_path / "lying.dcm", lying))
    short = image(pixels[0])
    short.PixelData = short.PixelData[:-200]
    with pytest.raises(ImageError, match=r"short\.dcm: its pixels are damaged"):
        read_image(save(tmp_path / "short.dcm", short))
    structures = item(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", SOPInstanceUID="1.2")
    structures.file_meta = image(pixels[0]).file_meta
    with pytest.raises(ImageError, match="no pixels, but RT Structure Set"):
        read_image(save(tmp_path / "rt.dcm", structures))
    structures.SOPClassUID = structures.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    with pytest.raises(ImageError, match="give the folder of a series"):
        read_image(save(tmp_path / "DICOMDIR", structures))
    slide = image(pixels, TotalPixelMatrixColumns=60, TotalPixelMatrixRows=40)
    with pytest.raises(ImageError, match="slide stored as tiles"):
        read_image(save(tmp_path / "slide.dcm", slide))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="neither a Zarr nor a DICOM"):
        read_image(tmp_path / "empty")


# ------------------------------------------------------------------ segmentations
def segmented(pixels, classes=3):
    labels = (pixels % (classes + 1)).astype(np.uint8)
    labels[0] = 0  # a plane without any segment
    return labels


def written(path, image_of, labels, **options):
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    found = read_image(image_of)
    options = {"recipe": {"checkpoint": "µ"}, "grid": found.grid, "source": image_of, **options}
    write_labels(path, labels, **options)
    return found


OBLIQUE = [0.8, 0.6, 0, -0.36, 0.48, 0.8]


def oblique(folder, pixels):
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    for k in (3, 1, 0, 2):
        place = (np.array([-10, 20, 5]) + 2.5 * k * normal).round(6).tolist()
        values = {"PixelSpacing": [0.5, 0.25], "PatientID": "p1", "PatientName": "A^B",
                  "ImageOrientationPatient": OBLIQUE, "ImagePositionPatient": place}  # fmt: skip
        save(folder / f"{9 - k}", image(pixels[k], SliceThickness=2.5, **values))
    return folder


def test_a_series_gets_its_segmentation_voxel_for_voxel(tmp_path, pixels):
    source, path = oblique(tmp_path / "ct", pixels), tmp_path / "ct_labels.dcm"
    labels = segmented(pixels)
    found = written(path, source, labels)
    back = read_label_file(path)
    np.testing.assert_array_equal(back.array, labels)
    assert (back.axes.order, back.array.dtype) == ("ZYX", np.uint16)
    assert back.grid.spacing == found.grid.spacing
    np.testing.assert_allclose(back.grid.affine, found.grid.affine)
    assert read_recipe(path) == {"checkpoint": "µ"}
    assert read_recipe(source / "9") == {}
    dataset = dcmread(path)
    assert dataset.Modality == "SEG"
    assert (dataset.PatientID, dataset.StudyInstanceUID) == ("p1", "1.2")
    assert dataset.FrameOfReferenceUID == "1.2.9"
    assert [each.SegmentLabel for each in dataset.SegmentSequence] == [
        f"class {k}" for k in (1, 2, 3)
    ]
    assert read_labels_for(found, path).array.shape == labels.shape
    # In the folder of its series, it is no slice.
    dataset.save_as(source / "seg.dcm")
    again = read_image(source)
    np.testing.assert_array_equal(again.array, pixels)
    assert "1 segmentations" in said(again)


def test_labels_as_nifti_lie_on_a_series_for_itk(tmp_path, pixels):
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    oblique(tmp_path / "ct", pixels)
    found = read_image(tmp_path / "ct")
    write_labels(tmp_path / "l.nii.gz", (pixels > 2000).astype(np.uint8), grid=found.grid)
    names = itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "ct"))
    volume, labels = itk.ReadImage(names), itk.ReadImage(str(tmp_path / "l.nii.gz"))
    for index in ((0, 0, 0), (29, 0, 3), (7, 19, 1)):
        there = labels.TransformPhysicalPointToIndex(volume.TransformIndexToPhysicalPoint(index))
        assert labels[there] == (volume[index] > 2000)


def test_a_segmentation_of_another_program_lies_where_its_frames_lie(tmp_path, pixels):
    source, path = oblique(tmp_path / "ct", pixels), tmp_path / "seg.dcm"
    labels = segmented(pixels)
    labels[2] = 0  # between two planes that are not empty
    found = written(path, source, labels)
    dataset = dcmread(path)
    for element in [e.tag for e in dataset if e.tag.is_private]:
        del dataset[element]
    dataset.save_as(path)
    back = read_label_file(path)
    np.testing.assert_array_equal(back.array, labels[1:])
    corner = found.grid.affine @ [0, 0, 1, 1]
    np.testing.assert_allclose(back.grid.affine[:, 3], corner, atol=1e-5)
    np.testing.assert_allclose(back.grid.affine[:, :3], found.grid.affine[:, :3], atol=1e-5)
    assert read_recipe(path) == {}
    # Planes that a segmentation leaves out are empty.
    np.testing.assert_array_equal(read_labels_for(found, path).array, labels)
    write_labels(tmp_path / "l.nii", labels, grid=found.grid)
    prediction, reference = read_label_pair(tmp_path / "l.nii", path)
    np.testing.assert_array_equal(prediction.array, reference.array)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    dataset.save_as(path)
    np.testing.assert_array_equal(read_labels_for(found, path).array, labels)


def test_enhanced_files_and_single_pictures_are_segmented(tmp_path, pixels):
    order = [2, 0, 3, 1]
    dataset = enhanced(pixels[order], [at(2.5 * k, DimensionIndexValues=[k + 1]) for k in order])
    sources = {
        "enhanced": dataset,
        "x-ray": image(
            pixels[1],
            Modality="DX",
            ImagerPixelSpacing=[0.5, 0.25],
            SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1",
        ),
        "slice": image(
            pixels[1], ImagePositionPatient=[1, 2, 3], PixelSpacing=[0.5, 0.25], **PLACE
        ),
    }
    for name, dataset in sources.items():
        if name == "x-ray":
            del dataset.FrameOfReferenceUID
        source = save(tmp_path / f"{name}.dcm", dataset)
        labels = (
            segmented(pixels)[..., :] if dataset.get("NumberOfFrames") else segmented(pixels)[1]
        )
        found = written(tmp_path / "l.dcm", source, labels)
        back = read_label_file(tmp_path / "l.dcm")
        np.testing.assert_array_equal(back.array, labels, name)
        assert back.axes.order == found.axes.order
        assert back.grid.spacing == pytest.approx(found.grid.spacing)
        assert (back.grid.affine is None) == (found.grid.affine is None)


def test_empty_labels_and_several_series(tmp_path, pixels):
    oblique(tmp_path / "ct", pixels)
    series(tmp_path / "ct", pixels, range(4), "b{}", SeriesInstanceUID="7.7", SeriesNumber=2)
    labels = np.zeros_like(pixels)
    for scene in (1, 2):
        grid = read_image(tmp_path / "ct", scene).grid
        written(tmp_path / "l.dcm", tmp_path / "ct", labels, grid=grid)
        back = read_label_file(tmp_path / "l.dcm")
        np.testing.assert_array_equal(back.array, labels)
        np.testing.assert_allclose(back.grid.affine, grid.affine, atol=1e-6)
        assert "7.7" in str(dcmread(tmp_path / "l.dcm")) if scene == 2 else True


def test_what_no_segmentation_can_hold_is_said(tmp_path, pixels):
    source = oblique(tmp_path / "ct", pixels)
    many = np.arange(pixels.size).reshape(pixels.shape).astype(np.uint32)
    with pytest.raises(ImageError, match=r"l\.dcm: .* 256 objects, and there are 2399"):
        written(tmp_path / "l.dcm", source, many)
    with pytest.raises(ImageError, match=r"none of 3 x 20 x 30 pixels"):
        written(tmp_path / "l.dcm", source, segmented(pixels)[1:])
    with pytest.raises(ImageError, match="image that was segmented"):
        written(tmp_path / "l.dcm", source, segmented(pixels), source=None)
    film = save(tmp_path / "film.dcm", image(pixels, Modality="US", FrameTime=40))
    with pytest.raises(
        ImageError, match=r"no DICOM segmentation can lie on this image .* as NIfTI"
    ):
        written(tmp_path / "l.dcm", film, segmented(pixels))
    dynamic = series(tmp_path / "4d", pixels, [0, 1, 0, 1], TemporalPositionIdentifier=[1, 1, 2, 2])
    with pytest.raises(ImageError, match="has no times"):
        written(tmp_path / "l.dcm", dynamic, segmented(pixels).reshape(2, 2, 20, 30))
    assert not (tmp_path / "l.dcm").exists()

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom._uid_dict import UID_dictionary  # pydicom has no other list of all UIDs
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import MPEG2MPML, UID

from dicom_node import transfer_syntaxes
from dicom_node.transfer_syntaxes import JPEG_XL_LOSSLESS
from tests.fixtures.encoded_ct import ENCODINGS, Encoding, by_dcmtk
from tests.fixtures.worker.ct_series import Series, save
from tests.fixtures.worker.multi_frame import enhanced
from worker.ct.reader import load
from worker.ct.rejections import TruncatedInstance, UndecodablePixels

BY_NAME = {encoding.name: encoding for encoding in ENCODINGS}
CASES = [
    pytest.param(encoding, signed, id=f"{encoding.name}, {'signed' if signed else 'unsigned'}")
    for encoding in ENCODINGS
    for signed in (False, True)
    if encoding.takes_signed or not signed
]


def files_of(folder: Path, *, signed: bool = False, noise_hu: int = 200) -> list[Path]:
    return save(Series(rows=40, columns=48, slices=3, signed=signed, noise_hu=noise_hu).images(), folder)


def test_every_accepted_transfer_syntax_is_tested_here() -> None:
    assert {encoding.syntax for encoding in ENCODINGS} == set(transfer_syntaxes.ALL)
    assert {encoding.syntax for encoding in ENCODINGS if encoding.loss_hu} == set(transfer_syntaxes.LOSSY)


def test_every_transfer_syntax_that_a_decoder_of_pydicom_reads_is_accepted() -> None:
    known = [UID(uid) for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"]
    readable = set()
    for uid in known:
        try:
            readable |= {uid} if get_decoder(uid).is_available else set()
        except NotImplementedError:
            continue

    assert len(readable) == 16
    assert readable <= set(transfer_syntaxes.ALL)


@pytest.mark.parametrize(("encoding", "signed"), CASES)
def test_every_transfer_syntax_gives_the_same_voxels(encoding: Encoding, signed: bool, tmp_path: Path) -> None:
    files = files_of(tmp_path, signed=signed, noise_hu=20 if encoding.loss_hu else 200)
    expected = load(files).volume.hu
    for file in files:
        encoding.encode(file)

    series = load(files)

    assert {image.file_meta.TransferSyntaxUID for image in series.datasets} == {encoding.syntax}
    difference = float(np.abs(series.volume.hu - expected).max())
    assert difference <= encoding.loss_hu
    assert (difference > 0) == (encoding.loss_hu > 0)


@pytest.mark.parametrize("encoding", [each for each in ENCODINGS if not each.loss_hu], ids=lambda each: each.name)
def test_every_lossless_transfer_syntax_gives_the_same_voxels_of_a_multi_frame_image(
    encoding: Encoding, tmp_path: Path
) -> None:
    images = Series(rows=40, columns=48, slices=3, noise_hu=200).images()
    (file,) = save([enhanced(images)], tmp_path)
    expected = load([file]).volume.hu
    encoding.encode(file)

    series = load([file])

    assert series.datasets[0].file_meta.TransferSyntaxUID == encoding.syntax
    assert np.array_equal(series.volume.hu, expected)


def test_jpeg_extended_has_the_values_that_dcmtk_decodes(tmp_path: Path) -> None:
    files = files_of(tmp_path, noise_hu=20)
    for file in files:
        BY_NAME["JPEG Extended"].encode(file)
    hu = load(files).volume.hu
    for file in files:
        by_dcmtk("dcmdjpeg")(file)

    assert np.abs(hu - load(files).volume.hu).max() <= 1


def test_lossy_htj2k_has_the_values_that_openjph_decodes(tmp_path: Path) -> None:
    files = files_of(tmp_path, noise_hu=20)
    for file in files:
        BY_NAME["HTJ2K"].encode(file)
    hu = load(files).volume.hu

    for plane, file in zip(hu, files, strict=True):
        (frame,) = generate_frames(pydicom.dcmread(file).PixelData, number_of_frames=1)
        assert np.abs(plane + 1024 - imagecodecs.htj2k_decode(frame)).max() <= 1


@pytest.mark.parametrize("name", ["Deflated Image Frame Compression", "Encapsulated Uncompressed", "JPEG XL Lossless"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_frame_that_is_cut_off_is_rejected(name: str, kept: float, tmp_path: Path) -> None:
    files = files_of(tmp_path)
    for file in files:
        BY_NAME[name].encode(file)
    image = pydicom.dcmread(files[1])
    (frame,) = generate_frames(image.PixelData, number_of_frames=1)
    image.PixelData = pydicom.encaps.encapsulate([frame[: int(kept * len(frame)) // 2 * 2]])
    pydicom.dcmwrite(files[1], image, implicit_vr=False, little_endian=True, force_encoding=True)

    with pytest.raises((TruncatedInstance, UndecodablePixels), match=image.SOPInstanceUID):
        load(files)


def test_jpeg_xl_of_signed_values_is_rejected(tmp_path: Path) -> None:
    """JPEG XL has no signed integers, so what a writer means by them is not known."""
    files = files_of(tmp_path)
    for file in files:
        BY_NAME["JPEG XL Lossless"].encode(file)
        image = pydicom.dcmread(file)
        image.PixelRepresentation = 1
        pydicom.dcmwrite(file, image, implicit_vr=False, little_endian=True, force_encoding=True)

    with pytest.raises(UndecodablePixels, match=transfer_syntaxes.name_of(JPEG_XL_LOSSLESS)):
        load(files)


def test_a_transfer_syntax_that_is_not_accepted_is_rejected_by_its_name(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    for file in files:
        BY_NAME["RLE Lossless by pydicom"].encode(file)
        image = pydicom.dcmread(file)
        image.file_meta.TransferSyntaxUID = MPEG2MPML
        image.save_as(file)

    with pytest.raises(UndecodablePixels, match=r"MPEG2 Main Profile .* is not supported"):
        load(files)

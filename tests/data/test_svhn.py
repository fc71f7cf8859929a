"""SVHN from MATLAB files, whole and damaged."""

import numpy as np
import pytest
from image_files import md5, write_svhn
from scipy.io import savemat

from softvq.data.source import DataError
from softvq.data.svhn import SvhnFiles


def test_svhn_images_come_in_order_and_label_ten_is_the_digit_zero(tmp_path):
    expected = write_svhn(tmp_path)
    raw = SvhnFiles("svhn", str(tmp_path), False).load()
    assert raw.verified is False
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(raw, f"{split}_images")[:], expected[f"{split}_images"])
        np.testing.assert_array_equal(getattr(raw, f"{split}_labels"), expected[f"{split}_labels"])


def test_svhn_files_with_torchvisions_checksums_are_verified(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    known = {s: ["url", f"{s}_32x32.mat", md5((tmp_path / f"{s}_32x32.mat").read_bytes())] for s in ("train", "test")}
    monkeypatch.setattr("torchvision.datasets.SVHN.split_list", known)
    assert SvhnFiles("svhn", str(tmp_path), True).load().verified is True


def test_another_svhn_file_is_named_with_both_checksums(tmp_path):
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    message = rf"{path} .*MD5 e26dedcc434d2e4c54c9b2d4a06d8373 expected, {md5(path.read_bytes())} found.*data\.verify"
    with pytest.raises(DataError, match=message):
        SvhnFiles("svhn", str(tmp_path), True).load()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("keep", [0, 100, 2000, 20000])
def test_a_truncated_svhn_file_is_named(tmp_path, keep, compress):
    write_svhn(tmp_path, compress=compress)
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{path} \({keep} bytes\) cannot be read.*delete it to download it again"):
        SvhnFiles("svhn", str(tmp_path), False).load()


def test_a_variable_that_would_unfold_without_end_is_refused(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    zeros = {
        "X": np.zeros((32, 32, 3, 5), np.uint8),
        "y": np.ones((5, 1), np.uint8),
        "other": np.zeros(2**22, np.uint8),
    }
    savemat(tmp_path / "train_32x32.mat", zeros, do_compression=True)
    SvhnFiles("svhn", str(tmp_path), False).load()
    monkeypatch.setattr("softvq.data.svhn.LARGEST_FILE", 2**21)
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("it was unfolded"))
    with pytest.raises(DataError, match="more than 2,097,152 bytes are packed into a variable"):
        SvhnFiles("svhn", str(tmp_path), False).load()

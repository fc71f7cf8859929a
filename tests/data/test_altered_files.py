"""Files as accident makes them: whatever is in them, the outcome is data or a line that says what to do."""

import gzip
import pickle
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_sets import (
    FORMATS,
    cifar,
    idx_images,
    idx_packed,
    npy_images,
    npy_labels,
    outcome,
)

FUZZED = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,  # the same files every time
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def quiet(caplog):
    """An accepted copy is warned of each time; that is not looked at here."""
    caplog.set_level("ERROR")


@pytest.mark.parametrize("make", FORMATS)
def test_the_sets_that_are_damaged_below_are_sound(tmp_path, make):
    assert outcome(*make(tmp_path)) is None


@pytest.mark.slow
@pytest.mark.parametrize("make", FORMATS)
@FUZZED
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8), cut=st.floats(0, 1.2))
def test_altered_and_cut_files_are_data_or_one_line(tmp_path, make, changes, cut):
    source, path = make(tmp_path)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    path.write_bytes(content[: int(cut * len(content))])
    outcome(source, path)


@pytest.mark.slow
@pytest.mark.parametrize("make", FORMATS)
@FUZZED
@given(content=st.binary(max_size=200), kept=st.integers(0, 200))
def test_files_of_arbitrary_bytes_after_a_sound_beginning_are_data_or_one_line(tmp_path, make, content, kept):
    source, path = make(tmp_path)
    path.write_bytes(path.read_bytes()[:kept] + content)
    outcome(source, path)


@FUZZED
@given(
    header=st.text(max_size=100), version=st.tuples(st.integers(0, 4), st.integers(0, 1)), rest=st.binary(max_size=50)
)
def test_npy_headers_of_arbitrary_text_are_data_or_one_line(tmp_path, header, version, rest):
    source, path = npy_images(tmp_path)
    text = header.encode("utf-8", "surrogatepass")
    length = struct.pack("<H", len(text)) if version[0] == 1 else struct.pack("<I", len(text))
    path.write_bytes(b"\x93NUMPY" + bytes(version) + length + text + rest)
    assert outcome(source, path)


@FUZZED
@given(
    descr=st.sampled_from(
        ["|u1", "<i8", "|O", "|S5", "<U3", "|V8", "<f8", "<M8[D]", "|b1", [("a", "|u1")], "(9,)u1", 7, None]
    ),
    shape=st.lists(st.integers(-(2**40), 2**70) | st.integers(0, 30), max_size=5).map(tuple),
    order=st.sampled_from([True, False, None, "F"]),
    part=st.sampled_from([npy_images, npy_labels]),
)
def test_npy_headers_of_any_type_and_shape_are_data_or_one_line(tmp_path, descr, shape, order, part):
    source, path = part(tmp_path)
    text = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(2400))
    outcome(source, path)


@FUZZED
@given(
    shape=st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([3, 28]), min_size=1, max_size=4),
    kind=st.integers(0, 255),
    packed=st.booleans(),
)
def test_idx_headers_of_any_shape_are_data_or_one_line(tmp_path, shape, kind, packed):
    source, path = (idx_packed if packed else idx_images)(tmp_path)
    content = struct.pack(f">4B{len(shape)}I", 0, 0, kind, len(shape), *shape) + bytes(3 * 784)
    path.write_bytes(gzip.compress(content) if packed else content)
    outcome(source, path)


OPCODES = [code for name in dir(pickle) if name.isupper() and isinstance(code := getattr(pickle, name), bytes)]


@FUZZED
@given(parts=st.lists(st.sampled_from(OPCODES) | st.binary(max_size=6), max_size=40))
def test_pickles_of_arbitrary_instructions_are_data_or_one_line(tmp_path, parts):
    source, path = cifar(tmp_path)
    path.write_bytes(b"\x80\x02" + b"".join(parts) + pickle.STOP)
    assert outcome(source, path)

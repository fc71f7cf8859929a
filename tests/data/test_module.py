"""What a training run gets of its data: images and labels by index, and nothing that should not matter."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from image_files import labels_of, random_images, write_arrays

from softvq.data import chunks, module
from softvq.data.array_files import ArrayFiles
from softvq.data.chunks import ChunkLoader
from softvq.data.module import ImageData, ReplicaData
from softvq.data.schedule import ReplicaSchedule, Schedule
from softvq.data.source import DataError


@pytest.fixture
def root(tmp_path):
    write_arrays(tmp_path / "mine", train=60, test=10)
    return tmp_path


def data_of(root, **settings) -> ImageData:
    source = ArrayFiles("mine", str(root / "mine"))
    chosen = {"batch_size": 8, "eval_batch_size": 100, "val_fraction": 0.0, "seed": 0, **settings}
    return ImageData("mine", source, str(root), log_every_n_steps=100, val_every_n_steps=100, **chosen)


def trained(data, steps=20):
    data.trainer = SimpleNamespace(global_step=0, max_steps=steps, global_rank=0, world_size=1)
    return [data.transfer_batch_to_device(batch, torch.device("cpu"), 0) for batch in data.train_dataloader()]


# --- labels


def test_labels_are_those_of_the_images_of_each_step(root):
    data = data_of(root, val_fraction=0.25)
    data.setup()
    place = {
        bytes(image): label for image, label in zip(data.arrays.train_images, data.arrays.train_labels, strict=True)
    }
    for chunk in trained(data):
        assert chunk.labels.shape == chunk.images.shape[:2]
        assert chunk.labels.dtype == torch.int64
        for images, labels in zip(chunk.images.numpy(), chunk.labels, strict=True):
            assert [place[bytes(image)] for image in images] == labels.tolist()


def test_replicas_get_the_labels_that_each_would_get_alone(root):
    members = [data_of(root, seed=seed, val_fraction=0.25) for seed in (0, 1, 2)]
    for member in members:
        member.setup()
    together = trained(ReplicaData(members))
    labels, images = torch.cat([c.labels for c in together]), torch.cat([c.images for c in together])
    assert labels.shape == (20, 3, 8)
    for number, member in enumerate(members):
        alone = trained(member)
        assert torch.equal(labels[:, number], torch.cat([c.labels for c in alone]))
        assert torch.equal(images[:, number], torch.cat([c.images for c in alone]))


def test_images_without_labels_are_trained_on_without(root):
    for path in (root / "mine").glob("*_labels.npy"):
        path.unlink()
    data = data_of(root, val_fraction=0.25)
    data.setup()
    assert all(chunk.labels is None for chunk in trained(data))
    held_out = data.probed_arrays("validation")
    assert held_out.test_labels is held_out.train_labels is None
    assert len(held_out.test_images) == 15


# --- what is known of the images


def test_pixel_variance_is_that_of_the_images_that_are_trained_on(root):
    whole, part = data_of(root), data_of(root, val_fraction=0.25)
    whole.setup()
    part.setup()
    pixels = np.load(root / "mine" / "train_images.npy") / 255
    assert whole.arrays.info.pixel_variance == pytest.approx(pixels.var(), rel=1e-12)
    assert part.arrays.info.pixel_variance == pytest.approx(pixels[part.train_indices].var(), rel=1e-12)
    assert part.arrays.info.pixel_variance != whole.arrays.info.pixel_variance
    assert part.arrays.info.sha256 == whole.arrays.info.sha256


def test_what_is_held_out_for_validation_changes_nothing_that_is_trained_with(root):
    before = data_of(root, val_fraction=0.25)
    before.setup()
    images = np.load(root / "mine" / "train_images.npy")
    images[before.val_indices] = 255
    np.save(root / "mine" / "train_images.npy", images)
    after = data_of(root, val_fraction=0.25)
    after.setup()
    assert after.arrays.info.pixel_variance == before.arrays.info.pixel_variance
    assert torch.equal(trained(after)[0].images, trained(before)[0].images)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_evaluated_batches_changes_nothing(root, size):
    data = data_of(root, val_fraction=0.25, eval_batch_size=size)
    data.setup()
    expected = data_of(root, val_fraction=0.25)
    expected.setup()
    assert data.arrays.info == expected.arrays.info
    assert torch.equal(torch.cat(list(data.val_dataloader())), torch.cat(list(expected.val_dataloader())))


# --- warnings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"test_images": random_images(0, 60, 12, 10), "test_labels": labels_of(60, 3)},
            "all of the 60 test images are",
        ),
        ({"test_labels": np.full(10, 7)}, "no training image has the class 7; it can only be mistaken"),
        ({"train_labels": np.arange(60) % 4}, "no test image has the class 3"),
    ],
)
def test_data_whose_results_mislead_are_warned_of_once_a_run(root, caplog, change, message):
    for name, array in change.items():
        np.save(root / "mine" / f"{name}.npy", array)
    data = data_of(root)
    for _ in range(3):  # the program, and Lightning twice
        data.prepare_data()
        data.setup("fit")
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert sum(message in warning for warning in warnings) == 1


def test_a_class_that_is_held_out_whole_is_warned_of(root, caplog):
    np.save(root / "mine" / "train_labels.npy", np.arange(60) == 17)
    for seed in range(20):
        data = data_of(root, val_fraction=0.5, seed=seed)
        data.setup()
        lacks = 17 in data.val_indices
        assert any("no training image has the class 1" in record.message for record in caplog.records) == lacks
        caplog.clear()


# --- sizes


@pytest.mark.parametrize(("batch_size", "image_bytes"), [(100_000, 64), (32, 2**20 * 3), (4096, 3072), (10**6, 1)])
def test_a_chunk_is_bounded_in_bytes(monkeypatch, batch_size, image_bytes):
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)  # never too slow to grow
    trainer = SimpleNamespace(global_step=0, max_steps=8, global_rank=0, world_size=1)
    sizes = [
        batch.indices.numel()
        for batch in ChunkLoader(Schedule(1438, batch_size, seed=0), trainer, 100, 0, image_bytes=image_bytes)
    ]
    assert sum(sizes) == 8 * batch_size
    assert max(sizes) * image_bytes <= max(chunks.MAX_CHUNK_BYTES, batch_size * image_bytes)
    assert max(sizes) * chunks.LEAST_BYTES <= max(chunks.MAX_CHUNK_BYTES, batch_size * chunks.LEAST_BYTES)


def test_a_chunk_of_replicas_is_bounded_like_that_of_one(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)
    monkeypatch.setattr(chunks, "MAX_CHUNK_BYTES", 2**20)
    trainer = SimpleNamespace(global_step=0, max_steps=64, global_rank=0, world_size=1)
    schedule = ReplicaSchedule([Schedule(50, 16, seed) for seed in range(4)])
    steps = [len(batch.indices) for batch in ChunkLoader(schedule, trainer, 100, 0, image_bytes=64)]
    assert max(steps) == 2**20 // (4 * 16 * 2**10) == 16
    assert sum(steps) == 64


def test_a_batch_beyond_the_memory_is_refused_before_training(root):
    with pytest.raises(ValueError, match=r"data\.batch_size=1000000000000 needs 480,000\.0 GB .*set a smaller one"):
        data_of(root, batch_size=10**12).setup()


def test_sizes_that_do_not_fit_show_before_an_image_is_read(root, monkeypatch):
    data_of(root).setup()
    monkeypatch.setattr("softvq.data.module.prepare", lambda *_: pytest.fail("read"))
    with pytest.raises(ValueError, match=r"data\.batch_size=1000000000000 needs"):
        data_of(root, batch_size=10**12).check((12, 10, 1))
    with pytest.raises(ValueError, match=r"data\.val_fraction=0\.999 sets 60 of 60"):
        data_of(root, val_fraction=0.999).check((12, 10, 1))


def test_a_set_that_an_accelerator_has_no_room_for_stays_in_main_memory(monkeypatch):
    images = np.zeros((10, 4, 4, 1), np.uint8)
    for free, expected in ((4 * images.nbytes, True), (images.nbytes, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **kwargs: self)
        assert (module._whole_set(images, torch.device("cuda")) is not None) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_fraction": 1e-6}, r"data\.val_fraction=1e-06 sets 0 of 60 training images aside"),
        ({"val_fraction": 0.999}, r"data\.val_fraction=0\.999 sets 60 of 60 training images aside"),
        ({"val_fraction": 1.0}, r"data\.val_fraction must be at least 0 and below 1, got 1\.0"),
        ({"val_fraction": "x"}, r"data\.val_fraction must be a finite number, got 'x'"),
        ({"val_fraction": None}, r"data\.val_fraction must be a finite number, got None"),
        ({"batch_size": 0}, r"data\.batch_size must be at least 1, got 0"),
        ({"batch_size": None}, r"data\.batch_size must be a whole number, got None"),
        ({"eval_batch_size": 2.5}, r"data\.eval_batch_size must be a whole number, got 2\.5"),
    ],
)
def test_sizes_and_fractions_that_are_none_are_refused(root, settings, message):
    with pytest.raises(ValueError, match=message):
        data_of(root, **settings).setup()


@pytest.mark.parametrize("path", [None, "", 5])
def test_a_root_that_is_no_path_is_refused(root, path):
    source = ArrayFiles("mine", str(root / "mine"))
    with pytest.raises(DataError, match=r"data\.root must be a path, got "):
        ImageData("mine", source, path, 8, 8, 0.0, 0, 100, 100)

"""Which images a step sees: every image once an epoch, as a function of (seed, step) alone."""

from types import SimpleNamespace

import pytest
import torch

from softvq.data import chunks
from softvq.data.chunks import ChunkLoader
from softvq.data.schedule import Schedule
from softvq.randomness import Stream, generator

SIZES = [(10, 3), (7, 7), (5, 8), (64, 32), (3, 10), (1, 4), (97, 32)]


def images_seen(schedule, steps):
    return torch.cat([schedule.batch(step) for step in range(steps)])


@pytest.mark.parametrize(("size", "batch_size"), SIZES)
def test_every_image_is_seen_exactly_once_an_epoch(size, batch_size):
    seen = images_seen(Schedule(size, batch_size, seed=0), steps=4 * size)  # 4 * batch_size epochs
    for epoch in seen.reshape(-1, size):
        assert epoch.sort().values.tolist() == list(range(size))


@pytest.mark.parametrize(("size", "batch_size"), SIZES)
def test_batches_are_full_also_where_they_straddle_epochs(size, batch_size):
    schedule = Schedule(size, batch_size, seed=0)
    assert all(schedule.batch(step).shape == (batch_size,) for step in range(20))


def test_a_batch_straddles_two_epochs():
    schedule = Schedule(10, 4, seed=0)
    ends, begins = schedule.batch(2)[:2], schedule.batch(2)[2:]
    assert set(ends.tolist()).isdisjoint(images_seen(schedule, 2).tolist())  # the rest of the first epoch
    assert set(begins.tolist()).isdisjoint([*schedule.batch(3).tolist(), *schedule.batch(4).tolist()])


@pytest.mark.parametrize(("size", "batch_size"), SIZES)
def test_a_step_is_the_same_whatever_was_asked_before(size, batch_size):
    unbroken = Schedule(size, batch_size, seed=0)
    expected = [unbroken.batch(step) for step in range(30)]
    backwards = Schedule(size, batch_size, seed=0)
    torch.manual_seed(123)
    for step in reversed(range(30)):
        torch.rand(3)  # nobody else's draws matter
        assert torch.equal(backwards.batch(step), expected[step])
    assert torch.equal(Schedule(size, batch_size, seed=0).batch(17), expected[17])


def test_the_order_of_images_is_the_same_for_every_batch_size():
    orders = [images_seen(Schedule(60, batch_size, seed=3), 120 // batch_size) for batch_size in (1, 4, 40, 120)]
    assert all(torch.equal(order, orders[0]) for order in orders)


def test_epochs_and_seeds_differ_and_seed_zero_seeds():
    orders = [images_seen(Schedule(50, 50, seed), 3).reshape(3, 50).tolist() for seed in range(32)]
    assert images_seen(Schedule(50, 50, 0), 3).reshape(3, 50).tolist() == orders[0]
    shuffles = {tuple(epoch) for order in orders for epoch in order}
    assert len(shuffles) == 32 * 3
    assert tuple(range(50)) not in shuffles


def test_every_image_takes_every_place_equally_often():
    # 2000 shuffles of 6: each of 36 counts is binomial with mean 2000 / 6 and variance 2000 * 5 / 36.
    seen = images_seen(Schedule(6, 6, seed=0), 2000).reshape(2000, 6)
    counts = torch.stack([(seen == image).sum(0) for image in range(6)])
    assert ((counts - 2000 / 6).abs() < 4.5 * (2000 * 5 / 36) ** 0.5).all()


def test_streams_of_one_seed_are_independent():
    draws = [
        tuple(torch.rand(4, generator=generator(seed, stream, index)).tolist())
        for seed in (0, 1)
        for stream in Stream
        for index in (0, 1, 2)
    ]
    assert len(set(draws)) == len(draws)


def test_a_stream_ignores_and_leaves_the_global_random_state():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first = torch.rand(3, generator=generator(0, Stream.NOISE, 8))
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(torch.rand(3, generator=generator(0, Stream.NOISE, 8)), first)


@pytest.mark.parametrize(
    ("size", "batch_size", "message"),
    [
        (10, 0, r"data\.batch_size must be at least 1, got 0"),
        (10, -3, r"data\.batch_size must be at least 1, got -3"),
        (0, 4, r"the training set is empty; lower data\.val_fraction"),
    ],
)
def test_nothing_to_schedule_is_refused(size, batch_size, message):
    with pytest.raises(ValueError, match=message):
        Schedule(size, batch_size, seed=0)


# --- chunks of steps


def loader(schedule, first=0, last=50, log_every=100, val_every=0, rank=0, world=1):
    trainer = SimpleNamespace(global_step=first, max_steps=last, global_rank=rank, world_size=world)
    return ChunkLoader(schedule, trainer, log_every, val_every, image_bytes=64)


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_chunks_hold_every_step_once_and_in_order(monkeypatch, limit):
    # Each step trains on its own batch: none is fetched and dropped.
    monkeypatch.setattr(chunks, "MAX_CHUNK_STEPS", limit)
    schedule = Schedule(23, 4, seed=0)
    step = 3
    for chunk in loader(schedule, first=3, last=50, log_every=7):
        assert chunk.first_step == step
        assert 1 <= len(chunk.indices) <= limit
        for indices in chunk.indices:
            assert torch.equal(indices, schedule.batch(step))
            step += 1
    assert step == 50


def test_chunks_end_where_a_row_is_logged_and_at_the_last_step(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e9)  # never too slow to grow
    found = list(loader(Schedule(23, 4, seed=0), last=45, log_every=20))
    ends = [chunk.first_step + len(chunk.indices) for chunk in found]
    assert {20, 40, 45} <= set(ends)
    assert max(len(chunk.indices) for chunk in found) > 1


def test_chunks_stop_at_the_next_validation():
    assert sum(len(chunk.indices) for chunk in loader(Schedule(23, 4, seed=0), first=6, val_every=10)) == 4


def test_devices_share_a_batch_without_overlap():
    schedule = Schedule(23, 6, seed=0)
    for step, *shares in zip(range(10), *(loader(schedule, rank=rank, world=3) for rank in range(3)), strict=False):
        assert all(len(share.indices) == 1 for share in shares)
        together = torch.cat([share.indices[0] for share in shares])
        assert torch.equal(together, schedule.batch(step))


def test_a_batch_that_devices_cannot_share_is_refused_by_key_and_value():
    with pytest.raises(ValueError, match=r"data\.batch_size is 6, which 4 devices cannot share; set a multiple of 4"):
        loader(Schedule(23, 6, seed=0), world=4)

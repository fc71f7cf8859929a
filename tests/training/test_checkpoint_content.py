"""Files that are no checkpoint of a run: what is wrong with one is told in a line, and nothing in it is executed."""

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import WHO, content, files, same
from torch import nn

from softvq.run_folder import DamagedFileError
from softvq.training.checkpoint import (
    ForeignCheckpointError,
    Identity,
    check_weights,
    read_checkpoint,
)
from softvq.training.checkpoint_content import FORMAT, STEPS_TAKEN


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (Identity("fedcba9876543210", 7), "its config_hash is 0123456789abcdef, this run's is fedcba9876543210"),
        (Identity("0123456789abcdef", 0), "its seed is 7, this run's is 0"),
    ],
)
def test_another_runs_is_refused_with_the_way_out(saved: Path, identity: Identity, message: str) -> None:
    with pytest.raises(ForeignCheckpointError, match=f"is of another run: {message}; .*resume=never"):
        read_checkpoint(saved, identity)
    assert read_checkpoint(saved, WHO)["global_step"] == 5


@pytest.mark.slow
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(saved: Path) -> None:
    whole, expected = saved.read_bytes(), read_checkpoint(saved)
    with zipfile.ZipFile(saved) as records:
        starts = [record.header_offset for record in records.infolist()]
        sizes = {record.filename: record.file_size for record in records.infolist()}
    assert max(sizes.values()) == 20 * 30 * 4
    # Every bit that is not of the one large record, and some of that.
    large = whole.index(expected["state_dict"]["weight"].numpy().tobytes())
    positions = [*range(0, large, 3), *range(large, large + 2400, 97), *range(large + 2400, len(whole), 3)]
    refused = 0
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        saved.write_bytes(damaged)
        try:
            assert same(read_checkpoint(saved), expected), position
        except DamagedFileError:
            refused += 1
    assert refused > len(positions) / 4, starts


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_one_that_was_cut_short_is_damaged(saved: Path, share: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged or no run's: .*resume=never"):
        read_checkpoint(saved)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_checkpoint_is_executed(saved: Path, legacy: bool) -> None:
    burst = saved.parent / "burst"
    held = {**content(5), "state_dict": {"weight": Bomb(burst)}}
    torch.save(held, saved, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DamagedFileError):
        read_checkpoint(saved)
    saved.write_bytes(pickle.dumps(held))
    with pytest.raises(DamagedFileError):
        read_checkpoint(saved)
    assert not burst.exists()


def test_one_that_would_grow_when_it_is_read_is_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as records:
        records.writestr("archive/data.pkl", b"0" * 10**6)
    with pytest.raises(DamagedFileError, match="compressed"):
        read_checkpoint(saved)


@pytest.mark.parametrize(
    "held",
    [
        [1, 2],
        {},
        {"state_dict": {"weight": torch.zeros(1)}, "global_step": 5},
        {**content(5), "curve": {}, "global_step": "5"},
        {**content(5), "curve": {}, "state_dict": {"weight": 5}},
        {**content(5), "curve": {}, "run": {"format": "new"}},
    ],
)
def test_what_no_run_writes_is_refused(saved: Path, held: Any) -> None:
    torch.save(held, saved)
    with pytest.raises(DamagedFileError, match=r"it holds no trained model|weights are no plain|of which format"):
        read_checkpoint(saved, WHO)


STEPS = {"fit_loop": {STEPS_TAKEN[1]: {"total": {"completed": 4}}}}


WEIGHTS = content(5)["state_dict"]


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")  # of PyTorch, about itself
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": None}, "it does not say of which format it is"),
        ({"run": {"format": True, "step": 5}}, "it does not say of which format it is"),
        ({"run": {"format": 1, "step": 5}}, "there is no format 1"),
        ({"run": {"format": FORMAT, "step": 4}}, "its parts disagree about the step"),
        ({"loops": STEPS}, "its parts disagree about the step"),
        ({"loops": {}}, "its parts disagree about the step"),
        ({"global_step": -5}, "its parts disagree about the step"),
        ({"global_step": True}, "its parts disagree about the step"),
        ({"curve": 5}, "its part of the training curve is not what a run writes"),
        ({"curve": {"sums": {"loss": "x"}, "steps": 1, "statistics": {}}}, "its part of the training curve"),
        ({"pytorch-lightning_version": 5}, "pytorch-lightning_version is absent or no str"),
        ({"optimizer_states": {}}, "optimizer_states is absent or no list"),
        *(
            ({"state_dict": {**WEIGHTS, "net.bias": value}}, "its weights are no plain arrays of numbers")
            for value in (
                torch.zeros(20, device="meta"),
                torch.zeros(20).to_sparse(),
                torch.zeros(1).expand(10**6, 10**6),
            )
        ),
        (
            {"state_dict": {**WEIGHTS, "net.bias": torch.zeros(20).cfloat()}},
            "bias holds complex numbers, here",
        ),
        ({"state_dict": {**WEIGHTS, "net.bias": torch.zeros(20).long()}}, "bias holds whole numbers, here fractions"),
        ({"optimizer_states": []}, "it holds the states of 0 optimisers, this training has 1"),
        ({"optimizer_states": [5]}, "its optimiser has no state"),
        ({"optimizer_states": [{"state": {}, "param_groups": [5]}]}, "its optimiser's groups are not"),
        ({"optimizer_states": [{"state": {}, "param_groups": [{"params": [0]}]}]}, "does not have 2 parameters"),
        (
            {"optimizer_states": [{"state": {0: {"a": torch.zeros(3)}}, "param_groups": [{"params": [0, 1]}]}]},
            "its optimiser's averages are those of another model",
        ),
    ],
)
def test_one_whose_parts_do_not_belong_together_is_refused_in_a_line(
    saved: Path, changes: dict[str, Any], message: str
) -> None:
    whole = torch.load(saved, weights_only=True)
    if "state_dict" in changes:
        changes = {"state_dict": {name.removeprefix("net."): w for name, w in changes["state_dict"].items()}}
    torch.save({**whole, **changes}, saved)
    with pytest.raises(DamagedFileError, match=re.escape(message)) as caught:
        files(saved.parent).load_checkpoint("")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
def test_what_is_no_file_is_not_opened(saved: Path, kind: str) -> None:
    saved.unlink()
    if kind == "a pipe":
        os.mkfifo(saved)
    elif kind == "a device":
        saved.symlink_to("/dev/zero")
    else:
        saved.mkdir()
    with pytest.raises(DamagedFileError, match=r"it is no regular file|it is a folder"):
        read_checkpoint(saved)


def test_one_larger_than_the_memory_is_not_read(saved: Path) -> None:
    os.truncate(saved, 2**43)  # of which the disk holds nothing
    with pytest.raises(DamagedFileError, match="are more than this machine's memory"):
        read_checkpoint(saved)


def test_one_of_a_newer_version_is_refused_by_its_number(saved: Path) -> None:
    torch.save({**content(5), "curve": {}, "run": {"format": FORMAT + 1}}, saved)
    with pytest.raises(DamagedFileError, match=f"its format {FORMAT + 1} is of a newer softvq"):
        read_checkpoint(saved, WHO)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(30, 21), r"weight is \(20, 30\), here \(21, 30\)"),
        (nn.Linear(30, 20, bias=False), r"bias is \(20,\), here absent"),
        (nn.Bilinear(2, 3, 4), r"weight is \(20, 30\), here \(4, 2, 3\)"),
    ],
)
def test_the_weights_of_another_model_are_named_in_one_line(saved: Path, model: nn.Module, message: str) -> None:
    with pytest.raises(DamagedFileError, match=f"its weights are those of another model: {message}") as caught:
        check_weights(saved, read_checkpoint(saved), model)
    assert "\n" not in str(caught.value)

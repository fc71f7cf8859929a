"""Run folders are named by what differs from the defaults, however it was typed."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softvq.config.compose import compose
from softvq.config.folder_name import LONGEST, folder_name


def name(*overrides: str, logs: str = "logs") -> str:
    return folder_name(compose("train", overrides, return_hydra_config=True), logs)


@pytest.mark.parametrize(
    ("overrides", "last"),
    [
        ((), "seed-0"),
        (("seed=3",), "seed-3"),
        (("bottleneck.K=32",), "seed-0-K-32"),
        (("bottleneck.K=8", "network.d=32"), "seed-0-d-32-K-8"),
        (("bottleneck.sigma_eps=0",), "seed-0-sigma_eps-0"),
        (("optimizer.lr=1e-3",), "seed-0-lr-0.001"),
        (("penalty_weight=0.3",), "seed-0-penalty_weight-0.3"),
        (("data.batch_size=16", "trainer.max_steps=50"), "seed-0-batch_size-16-max_steps-50"),
        (("probes.seed=1", "probes=fast"), "seed-0-probes-fast-probes.seed-1"),
        (("fidelity=released",), "seed-0-fidelity-released"),
        (("network=conv_spatial",), "seed-0-network-conv_spatial"),
        (("network.encoder.hidden=[32,16]",), "seed-0-encoder.hidden-32-16"),
        (("bottleneck.d=32",), "seed-0-bottleneck.d-32"),  # network.d=32 is another network
        (("optimizer._target_=torch.optim.SGD",), "seed-0-optimizer._target_-torch.optim.SGD"),
        (("+bottleneck.extra=2",), "seed-0-extra-2"),
        (("~bottleneck.sigma_eps",), "seed-0-sigma_eps-removed"),
        (("+trainer.callbacks.t={_target_:a.B}",), "seed-0-callbacks.t._target_-a.B"),
        (("data.val_fraction=0.1", "probes=validation"), "seed-0-probes-validation-val_fraction-0.1"),
    ],
)
def test_a_folder_is_named_by_what_was_changed(overrides: tuple[str, ...], last: str) -> None:
    assert name(*overrides) == f"runs/digits/soft_vq/{last}"


@pytest.mark.parametrize("number", ["penalty_weight=1", "penalty_weight=1.0", "optimizer.lr=0.0003"])
def test_a_default_may_be_typed_in_any_way(number: str) -> None:
    assert name(number) == "runs/digits/soft_vq/seed-0"


def test_defaults_and_where_a_run_happens_change_no_name() -> None:
    overrides = (
        "bottleneck.K=128",
        "optimizer.lr=3e-4",
        "network.d=64",
        "bottleneck.d=64",
        "probes=paper",
        "network=mlp",
        "fidelity=paper",
        "trainer=default",
        "probes.seed=0",
        "trainer.accelerator=cpu",
        "trainer.threads=2",
        "trainer.seeds_per_process=4",
        "data.root=/elsewhere",
        "logger=tensorboard",
        "resume=never",
        "probes.save_latents=true",
        "hydra/launcher=local_joblib",
        "hydra.job.chdir=true",
    )
    assert name(*overrides) == "runs/digits/soft_vq/seed-0"


def test_the_names_of_choices_are_folders_above_the_run() -> None:
    assert name("experiment=table_1", "data=svhn", "bottleneck=vq", "seed=2") == "table_1/svhn/vq/seed-2"
    assert name("experiment=figure_4", "bottleneck=vq") == "figure_4/mnist/vq/seed-0"  # whose d is 60
    assert name("experiment=figure_4", "bottleneck=vq", "network.d=64") == "figure_4/mnist/vq/seed-0-d-64"
    assert name("data=svhn", "bottleneck.K=32") == "runs/svhn/soft_vq/seed-0"  # the paper's for these data


def test_an_experiment_under_another_name_is_not_taken_for_a_plain_run() -> None:
    assert name("experiment=figure_4", "experiment_name=runs") == "runs/mnist/soft_vq/seed-0-experiment-figure_4"
    assert name("experiment_name=trial") == "trial/digits/soft_vq/seed-0"


def test_the_order_of_the_overrides_does_not_matter() -> None:
    overrides = ("bottleneck.K=8", "network.d=32", "probes=fast", "seed=1")
    names = {name(*order) for order in (overrides, overrides[::-1], overrides[2:] + overrides[:2])}
    assert names == {"runs/digits/soft_vq/seed-1-probes-fast-d-32-K-8"}


def test_data_of_ones_own_are_told_apart_by_their_folder_unless_they_have_a_label(tmp_path: Path) -> None:
    a, b = (name("data=arrays", "network=mlp", f"data.dir={tmp_path}/{folder}") for folder in ("A", "B"))
    assert (a, b) == tuple(f"runs/arrays/soft_vq/seed-0-network-mlp-dir-{folder}" for folder in ("A", "B"))
    assert name("data=arrays", f"data.dir={tmp_path}", "data.name=faces") == "runs/faces/soft_vq/seed-0"


def test_a_long_name_ends_in_a_hash_and_so_does_one_that_cannot_be_spelt() -> None:
    long = name("network.encoder.hidden=[1000,2000,3000,4000]", "network.decoder.hidden=[4000,3000,2000,1000]")
    assert re.fullmatch(r"runs/digits/soft_vq/seed-0-encoder\.hidden-1000-[\w.-]+-[0-9a-f]{8}", long)
    assert len(long) <= len("runs/digits/soft_vq/seed-0-") + LONGEST
    other = name("network.encoder.hidden=[1000,2000,3000,4000]", "network.decoder.hidden=[4000,3000,2000,1001]")
    assert long != other
    long_list = "network.encoder.hidden=[1000,2000,3000,4000,5000,6000]"
    swept = name(long_list, "bottleneck.K=8", "network.d=16", "probes=fast", "seed=1")
    assert swept.startswith("runs/digits/soft_vq/seed-1-K-8-d-16-probes-fast-encoder")  # what a sweep varies is short
    spelt = [name(f"+note='{text}'") for text in ("a b", "a/b", "a-b")]
    assert spelt[0].startswith("runs/digits/soft_vq/seed-0-note-a-b-")
    assert len(set(spelt)) == 3


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["bottleneck.K", "network.d", "optimizer.lr", "bottleneck.codebook_weight", "+note"]),
        st.one_of(st.integers(-9, 999), st.floats(-1e6, 1e6), st.booleans(), st.text("aB-é /.=_", max_size=5)),
    )
)
def test_names_are_plain_short_and_the_same_for_any_way_to_type_a_number(changes: dict[str, object]) -> None:
    typed = [f"{key}='{value}'" if isinstance(value, str) else f"{key}={value}" for key, value in changes.items()]
    made = name(*typed)
    assert re.fullmatch(r"runs/digits/soft_vq/seed-0[A-Za-z0-9._-]*", made)
    assert len(made) <= len("runs/digits/soft_vq/seed-0-") + LONGEST
    again = [
        f"{key}={value:.20e}" if isinstance(value, float) else text
        for (key, value), text in zip(changes.items(), typed, strict=True)
    ]
    assert name(*reversed(again)) == made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "old"),
    [
        (("bottleneck.K=32",), "seed-0-4435b18d"),
        (("trainer.max_steps=50", "probes=fast"), "seed-0-29e77611"),
        (
            (
                "network.encoder.hidden=[640,320]",
                "network.decoder.hidden=[320,640]",
                "probes=fast",
                "bottleneck.K=1024",
            ),
            "seed-0-probes-fast-encoder.hidden-640-320-decoder.hidden-3-96bbeeea",
        ),
    ],
)
def test_a_run_under_its_old_name_is_found(overrides: tuple[str, ...], old: str, tmp_path: Path) -> None:
    new = name(*overrides, logs=str(tmp_path))
    folder = tmp_path / "runs/digits/soft_vq" / old
    folder.mkdir(parents=True)
    assert name(*overrides, logs=str(tmp_path)) == new  # an empty folder is no run
    (folder / "config.yaml").touch()
    assert name(*overrides, logs=str(tmp_path)) == f"runs/digits/soft_vq/{old}"
    assert name(*overrides, "seed=1", logs=str(tmp_path)).startswith("runs/digits/soft_vq/seed-1-")
    (tmp_path / new).mkdir()
    assert name(*overrides, logs=str(tmp_path)) == new


def test_a_run_under_its_old_name_is_found_for_the_same_data_alone(tmp_path: Path) -> None:
    overrides = ("data=arrays", f"data.dir={tmp_path}/A")
    folder = tmp_path / "runs/arrays/soft_vq/seed-0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"data:\n  name: arrays\n  dir: {tmp_path}/B\n")
    assert name(*overrides, logs=str(tmp_path)) == "runs/arrays/soft_vq/seed-0-dir-A"
    (folder / "config.yaml").write_text(f"data:\n  name: arrays\n  dir: {tmp_path}/A\n")
    assert name(*overrides, logs=str(tmp_path)) == "runs/arrays/soft_vq/seed-0"

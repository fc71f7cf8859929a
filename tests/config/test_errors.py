"""What a person reads who mistyped a key, a value or a choice."""

import pytest

from softvq.config import errors as cli
from softvq.config.compose import CONF_DIR, options


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bottelneck=vq", "bottelneck=vq: there is no key bottelneck; did you mean bottleneck?"),
        ("trainer.max_step=3", "there is no key max_step in trainer; did you mean max_steps? There are max_steps, "),
        ("probes.classifier.steps=3", "there is no key classifier in probes; did you mean classification? There are "),
        ("optimizer.adam.lr=3", "there is no key optimizer.adam.lr; write optimizer.lr=3"),
        ("model.lr=3", "there is no key model.lr; write optimizer.lr=3"),
        ("bottleneck.k=3", "there is no key k in bottleneck; did you mean K? There are d, K, "),
        ("bottleneck=sof_vq", "bottleneck has no choice sof_vq; did you mean soft_vq? There are acai, "),
        ("experiment=table1", "experiment has no choice table1; did you mean table_1?"),
        ("hydra/launcher=local_jobli", "hydra/launcher has no choice local_jobli; did you mean local_joblib?"),
        ("hydra.run.dri=x", "there is no key hydra.run.dri"),
        ("zebra=3", "there is no key zebra; `softvq train --help` shows the groups"),
        ("~zebra", "~zebra: there is no key zebra"),
        ("seed=[1", "'seed=[1' cannot be read"),
        ("trainer.max_steps", "'trainer.max_steps' cannot be read"),
        ("soft_vq", "'soft_vq' cannot be read: write bottleneck=soft_vq"),
        ("data:digits", "'data:digits' cannot be read: write data=digits"),
        ("data==digits", "'data==digits' cannot be read: write data=digits"),
        ("=", "'=' cannot be read: write KEY=VALUE"),
        ("seed=0,1,", "'seed=0,1,' cannot be read: nothing stands behind a comma; write seed=0,1"),
        ("logger=[csv,wandb,]", "nothing stands behind a comma; write logger=[csv,wandb]"),
        ("data.root=~/x", "'data.root=~/x' cannot be read: quote what holds other signs twice: 'data.root=\"~/x\"'"),
        ("data.root=/a,b", "names several values; add -m to run each of them, or quote one value with a comma twice"),
        ("bottleneck=[vq,soft_vq]", "bottleneck takes one choice; write bottleneck=vq,soft_vq with -m to run each"),
        ("bottleneck.K=8,16", "bottleneck.K=8,16 names several values; add -m"),
        ("+bottleneck=vq", "bottleneck is chosen already; write bottleneck=vq"),
        ("data=arrays", "data.dir has no value; add data.dir=..."),
    ],
)
def test_a_fault_is_named_with_the_way_out(override: str, message: str) -> None:
    (found,) = cli.faults(["seed=1", override])
    assert message in found


@pytest.mark.parametrize("override", ["bottleneck.K=9", "seed=3", "fidelity=paper"])
def test_an_evaluation_has_no_settings_of_training(override: str) -> None:
    (found,) = cli.faults(["run=x", override], "evaluate")
    assert found.startswith(f"{override}: a run keeps what it was trained with; `softvq evaluate --help`")


def test_all_faults_are_named() -> None:
    found = cli.faults(["bottleneck=sof_vq", "data=arrays", "trainer.max_step=3", "optimizer.lr=0.1"])
    assert [message.split(" ")[0] for message in found] == ["bottleneck=sof_vq:", "trainer.max_step=3:", "data.dir"]


def test_a_key_of_another_choice_is_answered_with_this_ones() -> None:
    (found,) = cli.faults(["bottleneck=vae", "bottleneck.K=8"])
    assert found == "bottleneck.K=8: there is no key K in bottleneck; there are d, kl_weight"


def test_what_composes_has_no_faults() -> None:
    assert cli.faults(["bottleneck=vq", "data=mnist", "bottleneck.K=8", "+note=x"]) == []
    assert cli.faults(["data=arrays", "data.dir=/data"]) == []  # its network comes with the files' headers


def test_the_files_that_choices_share_are_no_choices() -> None:
    assert "base" not in options("data")
    assert options("bottleneck") == sorted(path.stem for path in (CONF_DIR / "bottleneck").glob("*.yaml"))

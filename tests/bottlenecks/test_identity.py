"""No bottleneck: the decoder reads the code itself."""

import pytest
import torch
from golden import golden
from zoo import make, random_heads


@golden("identity", "raw", "untrained")
def evaluate(now, held, given):
    z_e = now.encode(given.x)["z_e"]
    return {"z": z_e, "penalty": 0.0, "terms": {}}


@pytest.mark.parametrize("name", ["identity", "raw", "untrained"])
def test_without_a_bottleneck_the_decoder_reads_the_code_at_no_penalty(name):
    bottleneck = make(name)
    heads = random_heads(bottleneck)
    latent = bottleneck(heads, None)
    assert torch.equal(latent.z, heads["z_e"])
    assert latent.penalty == 0
    assert not list(bottleneck.parameters())

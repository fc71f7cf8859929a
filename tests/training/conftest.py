"""What the tests of training share."""

from pathlib import Path

import pytest
from checkpoints import content, files


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The checkpoint of step 5."""
    files(tmp_path).save_checkpoint(content(5), "")
    return tmp_path / "last.ckpt"

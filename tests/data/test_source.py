"""What a source may be called, and which arrays are no data set."""

import pytest
from image_files import labels_of, random_images

from softvq.data.digits import Digits
from softvq.data.source import DataError, RawData


@pytest.mark.parametrize("name", ["", "my set", "a/b", "..", "-x", "a=b"])
def test_a_name_that_cannot_name_a_folder_is_refused(name):
    with pytest.raises(DataError, match=rf"data\.name is {name!r}.*letters, digits"):
        Digits(name)


def raw(**changes) -> RawData:
    content = {
        "source": "here",
        "verified": None,
        "class_names": ("a", "b", "c"),
        "train_images": random_images(0, 6, 4, 4, 1),
        "train_labels": labels_of(6, 3),
        "test_images": random_images(0, 3, 4, 4, 1),
        "test_labels": labels_of(3, 3),
    }
    return RawData(**{**content, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": labels_of(5, 3)}, r"here: the train set .* \(6, 4, 4, 1\) and labels \(5,\)"),
        (
            {"test_images": random_images(0, 0, 4, 4, 1), "test_labels": labels_of(0)},
            "here: the test set needs at least",
        ),
        ({"test_images": random_images(0, 3, 4, 5, 1)}, r"one shape, found \(4, 4, 1\) and \(4, 5, 1\)"),
        ({"train_labels": labels_of(6, 4)}, "train labels must be from 0 to 2, found 0 to 3"),
        ({"test_labels": labels_of(3) - 1}, "test labels must be from 0 to 2, found -1 to 1"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        raw(**changes)

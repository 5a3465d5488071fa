"""Names of networks, read in the libraries' files."""

import pytest
import timm
from torchvision import models

from headstart.config.network_names import _names, library_of


def test_the_names_are_those_that_the_libraries_list():
    assert set(timm.list_models()) <= set(_names("timm"))
    assert set(models.list_models(module=models)) <= set(_names("torchvision"))


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("resnet34", ("timm", "resnet34")),
        ("ResNet-50", ("timm", "resnet50")),
        ("vit_b_16", ("torchvision", "vit_b_16")),
        ("cnn", None),
        ("", None),
    ],
)
def test_a_network_is_found_in_the_library_that_has_it(typed, found):
    assert library_of(typed) == found

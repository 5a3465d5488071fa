"""What the tests of training share."""

import dataclasses

import pytest

from headstart.data import Dataset
from headstart.data.sources import digits
from headstart.store import FeatureCache, cache_limit, cache_root


@pytest.fixture(scope="session")
def pictures() -> Dataset:
    """80 digits to train on, a batch of 32 and a batch of 16 at the end of each epoch, 60 to validate on."""
    whole = digits(train_size=80)
    return dataclasses.replace(whole, val=whole.val.choose(slice(60)))


@pytest.fixture
def kept() -> FeatureCache:
    """The cache of features that this test's runs use."""
    return FeatureCache(cache_root() / "features", cache_limit())

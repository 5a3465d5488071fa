"""What the tests of training share."""

import pytest

from headstart.data import Dataset
from headstart.data.sources import digits
from headstart.store import FeatureCache, cache_limit, cache_root


@pytest.fixture(scope="session")
def pictures() -> Dataset:
    """80 digits to train on, a batch of 32 and a batch of 16 at the end of each epoch, 60 to validate on."""
    whole = digits(train_size=80)
    val = whole.val.choose(slice(60))
    return Dataset(whole.name, whole.classes, whole.train, val, whole.sha256, whole.mean, whole.std, whole.load_test)


@pytest.fixture
def kept() -> FeatureCache:
    """The cache of features that this test's runs use."""
    return FeatureCache(cache_root() / "features", cache_limit())

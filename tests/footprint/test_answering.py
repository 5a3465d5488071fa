"""What is timed answers as the model does, whatever kind it is."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression

from headstart.data import normalise
from headstart.footprint import Answering
from headstart.models import Model, backbone_features, builders, estimators

CLASSES = dict(classes=2, class_names=("a", "b"))
NORMALISED = dict(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def pictures(count: int = 3, size: int = 8) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def network(name: str = "test_resnet", **options) -> Model:
    torch.manual_seed(0)
    given = dict(weights=None, keep_classifier=False, freeze="none", unfreeze_epoch=None, backbone_lr_factor=1)
    return builders.timm_model(name=name, stem="imagenet", image_size=16, **CLASSES, **given | options)


def fitted(estimator, **options):
    model = estimators.sklearn_model(estimator=estimator, image_size=16, **CLASSES, **options)
    inputs = np.random.default_rng(1).normal(size=(20, width(model)))
    model.pipeline.fit(inputs, np.arange(20) % 2)
    return model


def width(model) -> int:
    if model.network is None:
        return 16 * 16 * 3
    return backbone_features(model.network, torch.zeros(2, 3, 16, 16)).flatten(1).shape[1]


def test_a_network_answers_in_evaluation_mode_and_its_weights_stay():
    model = network()
    model.network.train()
    answer = Answering(model, pictures(), **NORMALISED, image_size=16).prepare(2)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    found = answer()
    assert not found.requires_grad and found.shape == (2, 2)
    with torch.no_grad():
        expected = model.network.eval()(normalise(pictures()[:2], **NORMALISED, size=16))
    assert torch.equal(found, expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())


def test_more_pictures_than_there_are_begin_anew():
    answer = Answering(network(), pictures(3), **NORMALISED, image_size=16).prepare(5)
    assert torch.allclose(answer()[3:], answer()[:2], atol=1e-5)


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearRegression()])
def test_a_pipeline_on_pixels_answers_as_scikit_learn_does(estimator):
    model = fitted(estimator)
    found = Answering(model, pictures(size=16), **NORMALISED, image_size=16).prepare(3)()
    pixels = pictures(size=16).flatten(1).numpy() / 255
    name = "predict_proba" if hasattr(model.pipeline, "predict_proba") else "decision_function"
    assert np.allclose(found, getattr(model.pipeline, name)(pixels), atol=1e-5)


def test_a_pipeline_on_features_asks_the_network_too():
    model = fitted(LogisticRegression(), features="test_resnet")
    found = Answering(model, pictures(), **NORMALISED, image_size=16).prepare(3)()
    with torch.no_grad():
        features = backbone_features(model.network, normalise(pictures(), **NORMALISED, size=16)).flatten(1)
    assert np.allclose(found, model.pipeline.predict_proba(features.numpy()), atol=1e-5)

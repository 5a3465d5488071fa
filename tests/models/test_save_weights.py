"""Networks as files: what stands in them, and bytes that depend on nothing else."""

import json

import torch

from headstart import models
from models.helpers_models import MEAN, NAMES, STD, exported


def test_a_written_file_carries_what_reading_it_back_needs(file):
    found = models.read_metadata(file.read_bytes())
    expected = "headstart_version architecture classes normalisation input_mean input_std image_size picture_size"
    assert found.keys() == set(expected.split())
    assert json.loads(found["classes"]) == list(NAMES)
    assert json.loads(found["input_mean"]) == list(MEAN) and json.loads(found["input_std"]) == list(STD)
    assert (found["architecture"], found["normalisation"], found["image_size"]) == ("cnn", "data", "8")


def test_the_same_network_gives_the_same_bytes_in_any_memory_format(file, trained):
    assert all(exported(trained) == file.read_bytes() for _ in range(5))
    trained.network.to(memory_format=torch.channels_last)
    assert exported(trained) == file.read_bytes()

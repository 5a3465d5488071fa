"""The doors of packages that import nothing until they are asked."""

import importlib

import pytest

from headstart.lazy import door, keep_compiler_away

DOORS = ("data", "inference", "report", "timing", "training")


@pytest.mark.parametrize("package", DOORS)
def test_every_name_of_a_door_leads_somewhere(package):
    module = importlib.import_module(f"headstart.{package}")
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_a_name_that_there_is_none_of_is_an_attribute_error():
    look = door("headstart.data", {"splits": ("stratified",)})
    assert look("stratified").__name__ == "stratified"
    with pytest.raises(AttributeError, match=r"module 'headstart.data' has no attribute 'nested'"):
        look("nested")


def test_a_method_that_torch_keeps_from_its_compiler_is_told_that_it_need_not_be():
    class Wrapped:
        def step(self):
            return 1

    import torch

    wrapped = torch._disable_dynamo(Wrapped.step)
    keep_compiler_away(wrapped)
    assert wrapped.__wrapped__.__dynamo_disable is wrapped.__wrapped__ and wrapped(Wrapped()) == 1
    keep_compiler_away(len)  # which has no wrapper

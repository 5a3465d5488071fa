"""What `auto` means on this machine, what a device that it lacks is answered, and what a run sets in torch."""

import os

import pytest
import timm
import torch
from torch import nn

from headstart.errors import UserError
from headstart.training import devices

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("available", [True, False])
def test_auto_is_cuda_where_there_is_one(available, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert devices.resolve_device("auto") == torch.device("cuda" if available else "cpu")
    assert devices.resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [
        ("cuda", 0, "device=cuda: torch sees 0 CUDA devices here; use device=cpu or device=auto"),
        ("cuda:2", 2, "device=cuda:2: torch sees 2 CUDA devices here"),
        ("mps", 0, "device=mps: this machine has no Apple GPU"),
    ],
)
def test_a_device_that_this_machine_lacks_is_refused_by_name(name, count, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=said):
        devices.resolve_device(name)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bf16_where_the_processor_multiplies_it_natively(native, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert devices.resolve_precision("auto", CPU) == ("bf16" if native else "fp32")
    assert devices.resolve_precision("fp32", CPU) == "fp32"
    assert devices.resolve_precision("bf16", CPU) == "bf16"


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("tf_efficientnet_lite0", "fp32"),
        ("mobilenetv3_small_050", "fp32"),
        ("convnext_atto", "fp32"),
        ("resnet10t", "bf16"),
        ("resnext26ts", "bf16"),  # grouped, but several channels together
        ("vit_tiny_patch16_224", "bf16"),
    ],
)
def test_auto_is_fp32_for_depthwise_networks_on_a_cpu_only(name, precision, monkeypatch):
    network = timm.create_model(name)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert devices.resolve_precision("auto", CPU, network) == precision
    assert devices.resolve_precision("bf16", CPU, network) == "bf16"
    assert devices.resolve_precision("auto", torch.device("cuda"), network) == "bf16"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_is_bf16_on_gpus_from_ampere_on(capability, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert devices.resolve_precision("auto", torch.device("cuda")) == precision


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_computes_in_the_precision_of_its_context(precision, dtype):
    with devices.autocast(CPU, precision):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_weights_on_the_cpu_are_contiguous():
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    assert devices.move_network(network, CPU) is network
    assert network.weight.is_contiguous()


def test_threads_are_the_cores_divided_by_jobs_unless_they_are_given(threads):
    cores = len(os.sched_getaffinity(0))
    assert devices.set_threads(None, jobs=1) == cores == torch.get_num_threads()
    assert devices.set_threads(None, jobs=2 * cores) == 1 == torch.get_num_threads()
    assert devices.set_threads(3, jobs=8) == 3 == torch.get_num_threads()


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_runs_let_cudnn_choose_nothing(deterministic):
    try:
        devices.set_arithmetic(deterministic, tf32=True, cudnn_benchmark=True)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert torch.backends.cudnn.benchmark != deterministic
        assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    finally:
        devices.set_arithmetic(False, tf32=False, cudnn_benchmark=False)


def test_the_name_of_the_cpu_is_cpu():
    assert devices.device_name(CPU) == "cpu"

"""Published weights: what happens without a network, once fetched, and with copies of what was fetched elsewhere."""

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from headstart import models
from headstart.errors import UserError
from headstart.models import pretrained
from headstart.models.weight_files import Normalisation
from models.helpers_models import build

IMAGENET = Normalisation("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NETWORK = "shufflenet_v2_x0_5"  # of torchvision's small ones

OFFLINE = ["unshare", "-rn"]
can_unshare = shutil.which("unshare") and subprocess.run([*OFFLINE, "true"], capture_output=True).returncode == 0
without_network = pytest.mark.skipif(not can_unshare, reason="unshare -rn is not permitted here")

PROBE = """
import hashlib, pathlib, sys, time
import safetensors.torch, timm, torch
from headstart.models import builders
from headstart.errors import UserError

def build(weights, **changes):
    torch.manual_seed(0)
    options = dict(name="test_resnet", stem="imagenet", keep_classifier=False, freeze="none", unfreeze_epoch=None,
                   backbone_lr_factor=1, classes=10, class_names=tuple("abcdefghij"), image_size=32)
    return builders.timm_model(weights=weights, **(options | changes))

def torchvisions():
    options = dict(name="resnet18", stem="imagenet", keep_classifier=False, freeze="none", unfreeze_epoch=None,
                   backbone_lr_factor=1, classes=10, class_names=tuple("abcdefghij"), image_size=32)
    return builders.torchvision_model(weights="imagenet", **options)

for fetch in (lambda: build("imagenet"), lambda: build("r160_in1k"), torchvisions):
    begin = time.monotonic()
    try:
        fetch()
    except UserError as error:
        print(error)
    assert time.monotonic() - begin < 15

# The hub's cache as a download leaves it; 1,000 classes, as published.
repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id.replace("/", "--")
fetched = pathlib.Path(sys.argv[1], "hub", f"models--{repository}", "snapshots", "0" * 40, "model.safetensors")
fetched.parent.mkdir(parents=True)
(fetched.parents[2] / "refs").mkdir()
(fetched.parents[2] / "refs" / "main").write_text("0" * 40)
torch.manual_seed(5)
stored = timm.create_model("test_resnet").state_dict()
safetensors.torch.save_file(stored, fetched)

asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event in ("socket.getaddrinfo", "socket.connect") else None)
start = build(None).network.state_dict()
stream = torch.rand(1)
for weights in ("imagenet", "r160_in1k"):
    model = build(weights)
    assert torch.equal(torch.rand(1), stream)
    own, head = model.network.state_dict(), model.classifier + "."
    assert all(torch.equal(own[k], start[k] if k.startswith(head) else stored[k]) for k in own)
assert asked == []
assert model.weights_sha256 == hashlib.sha256(fetched.read_bytes()).hexdigest()
print(model.normalisation.name)
print(*model.report)
try:
    build("imagenet", keep_classifier=True)
except UserError as error:
    print(str(error).splitlines()[0])
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory) -> list[str]:
    """What PROBE prints in a network namespace that has nothing in it, starting with nothing fetched."""
    home = tmp_path_factory.mktemp("hub")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE", "TORCH_HOME"))}
    environment |= {"HF_HOME": str(home), "TORCH_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [*OFFLINE, sys.executable, "-W", "error", "-c", PROBE, str(home)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@without_network
def test_torchvisions_weights_without_a_network_are_refused_within_seconds(offline):
    name, advice = offline[4:6]
    assert name.startswith("ResNet18_Weights.IMAGENET1K_V1: its pretrained weights cannot be fetched (")
    assert "model.weights=PATH" in advice


@without_network
def test_timms_weights_without_a_network_are_refused_within_seconds(offline):
    assert offline[0].startswith("test_resnet: its pretrained weights cannot be fetched (")
    assert offline[2].startswith("test_resnet.r160_in1k: its pretrained weights cannot be fetched (")
    assert all("model.weights=PATH" in line for line in (offline[1], offline[3]))


@without_network
def test_timms_weights_once_fetched_need_no_network_and_are_checked_like_a_file(offline):
    name, report, classes = offline[6:]
    assert name == "timm 0.5/0.5"
    assert "test_resnet.r160_in1k, sha256 of the file" in report and "start anew: fc.weight, fc.bias" in report
    assert "does not fit" in classes and "fc.weight [1000, " in classes


@pytest.mark.parametrize("name, shown", [("resnet18", "imagenet"), ("resnetv2_50", "timm 0.5/0.5")])
def test_timms_normalisation_is_that_of_its_configuration(name, shown):
    import timm

    known = timm.get_pretrained_cfg(name)
    found = pretrained.timm_normalisation(known)
    assert (found.name, found.mean, found.std) == (shown, known.mean, known.std)


# ---------------------------------------------------------------------------------------------------------- torchvision


@pytest.fixture
def original(tmp_path, monkeypatch) -> Path:
    """A file of random numbers as torchvision publishes it, on a server of our own; and an empty cache."""
    import torchvision

    torch.manual_seed(5)
    folder = tmp_path / "server"
    folder.mkdir()
    torch.save(torchvision.models.get_model(NETWORK).state_dict(), folder / "x")
    digits = hashlib.sha256((folder / "x").read_bytes()).hexdigest()[:8]
    file = (folder / "x").rename(folder / f"network-{digits}.pth")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        member = torchvision.models.get_model_weights(NETWORK).DEFAULT
        monkeypatch.setattr(member.value, "url", f"http://127.0.0.1:{server.server_port}/{file.name}")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
        yield file
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.parametrize("given", ["imagenet", "IMAGENET1K_V1"])
def test_torchvisions_weights_are_fetched_once_and_stay_in_its_cache(original, given, capfd):
    first = build("torchvision", name=NETWORK, weights=given)
    cached = next((original.parents[1] / "cache").rglob("*.pth"))
    sha256 = hashlib.sha256(original.read_bytes()).hexdigest()
    original.unlink()
    stream = torch.get_rng_state()
    again = build("torchvision", name=NETWORK, weights=given, seed=1)
    fresh = build("torchvision", name=NETWORK, seed=1)
    assert not torch.equal(torch.get_rng_state(), stream)
    stored, own, start = torch.load(cached), again.network.state_dict(), fresh.network.state_dict()
    assert all(torch.equal(own[key], start[key] if key.startswith("fc.") else stored[key]) for key in own)
    assert first.weights_sha256 == again.weights_sha256 == sha256
    assert again.normalisation == IMAGENET
    assert f"torchvision's ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1, sha256 of the file {sha256}" in again.report[0]
    assert again.report[1].endswith("start anew: fc.weight, fc.bias")
    assert capfd.readouterr().out == ""  # results go there, not the progress of a download


def test_a_damaged_copy_in_torchvisions_cache_is_refused(original):
    build("torchvision", name=NETWORK, weights="imagenet")
    cached = next((original.parents[1] / "cache").rglob("*.pth"))
    cached.write_bytes(cached.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"damaged.*delete it"):
        build("torchvision", name=NETWORK, weights="imagenet")


def test_a_copy_of_torchvisions_file_is_recognised_and_normalised_as_it_expects(original, tmp_path):
    copy = tmp_path / "from_elsewhere.pth"
    shutil.copy(original, copy)
    model = build("torchvision", name=NETWORK, weights=str(copy))
    assert model.normalisation == IMAGENET
    assert model.report[0] == f"weights: {copy} is torchvision's ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1 by its sha256"
    state = torch.load(original)
    torch.save(state | {"fc.bias": state["fc.bias"] + 1}, copy)  # trained further: nothing is known about it any more
    assert build("torchvision", name=NETWORK, weights=str(copy)).normalisation is None


def test_a_name_that_torchvision_does_not_have_lists_those_it_has():
    with pytest.raises(UserError, match="imagenet, IMAGENET1K_V1, or a file"):
        build("resnet18_torchvision", weights="a1_in1k")


# --------------------------------------------------------------------------------------------- a backbone with our head


def saved(tmp_path: Path, state: dict, name: str = "x.pth") -> str:
    torch.save(state, tmp_path / name)
    return str(tmp_path / name)


@pytest.mark.parametrize("headless", [False, True])
def test_a_file_with_timms_names_fills_the_backbone_and_its_classifier_is_left_out(tmp_path, headless):
    import timm

    reference = timm.create_model("resnetv2_50", num_classes=0 if headless else 1000)
    path = saved(tmp_path, reference.state_dict())
    model = build("resnet50v2_head", weights=path, seed=1)
    own, start = model.network.state_dict(), build("resnet50v2_head", seed=1).network.state_dict()
    head = [key for key in own if key.startswith("classifier.")]
    assert all(torch.equal(own[key], start[key]) for key in head) and len(head) == 25
    stored = reference.state_dict()
    assert all(torch.equal(own[key], stored[key.removeprefix("backbone.")]) for key in own.keys() - set(head))
    left_out = f"weights: {path}: left out head.fc.weight, head.fc.bias"
    assert (left_out in model.report) is not headless
    assert f"weights: {path} says no normalisation; taken: timm 0.5/0.5, as timm's resnetv2_50" in model.report
    assert (model.normalisation.mean, model.normalisation.std) == ((0.5,) * 3, (0.5,) * 3)


def test_a_file_from_a_run_of_the_headed_network_is_taken_whole_where_asked(tmp_path):
    trained = build("resnet50v2_head", name="test_resnet", seed=4)
    content = models.export_bytes(
        trained, classes=tuple("abcdefghij"), mean=(0.1,) * 3, std=(0.2,) * 3, image_size=32, architecture="x"
    )
    (tmp_path / "x.safetensors").write_bytes(content)
    path = str(tmp_path / "x.safetensors")
    again = build("resnet50v2_head", name="test_resnet", weights=path, keep_classifier=True)
    stored, own = trained.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(own[key], stored[key]) for key in own)
    assert again.normalisation == Normalisation("file", (0.1,) * 3, (0.2,) * 3)
    backbone_only = build("resnet50v2_head", name="test_resnet", weights=path, seed=6).network.state_dict()
    same = {key for key in own if torch.equal(backbone_only[key], stored[key])}
    assert {key for key in own if key.startswith("backbone.")} <= same
    assert "classifier.output.weight" not in same


def test_a_file_of_another_network_does_not_fit_the_backbone(tmp_path):
    other = build("resnet18_torchvision").network.state_dict()
    with pytest.raises(UserError, match=r"does not fit resnetv2_50 with a head.*\n?.*Only the classifier"):
        build("resnet50v2_head", weights=saved(tmp_path, other))


def test_the_headed_networks_classifier_is_not_in_timms_files(tmp_path):
    import timm

    path = saved(tmp_path, timm.create_model("test_resnet", num_classes=0).state_dict())
    with pytest.raises(UserError, match=r"missing \(classifier.*\n.*nothing may differ\."):
        build("resnet50v2_head", name="test_resnet", weights=path, keep_classifier=True)

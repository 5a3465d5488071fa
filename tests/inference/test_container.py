"""The folder that serves an exported network: its files agree with each other, keep no key, and are what tools take."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, files_below

from headstart.cli.serve import make_parser
from headstart.errors import UserError
from headstart.inference import MODEL, check_container_folder, write_container
from headstart.inference.container import NAMES, constraints, container_files
from headstart.serving.batching import Answer
from headstart.serving.drift import Drift
from headstart.serving.metrics import Metrics
from headstart.serving.pool import Pool
from headstart.serving.settings import KEY_VARIABLE, Settings
from headstart.serving.uploads import Admission

BIN = Path(sys.executable).parent
ALL = ["weights", "onnx"]
IMAGE = "headstart:9f86d081884c"  # the beginning of sha256("test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    (folder / MODEL).mkdir()
    (folder / MODEL / "model.safetensors").write_bytes(b"test")
    write_container(folder, 'an "arm"')
    return folder


def instructions(folder: Path) -> list[tuple[str, str]]:
    """(instruction, what follows) of the Dockerfile, continued lines joined."""
    text = (folder / "Dockerfile").read_text().replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line and not line.startswith("#")]


def documents(folder: Path) -> dict[str, dict]:
    """What every YAML file holds."""
    return {str(p.relative_to(folder)): yaml.safe_load(p.read_text()) for p in folder.rglob("*.y*ml")}


def test_everything_is_written_and_every_template_filled_in(folder):
    written = files_below(folder)
    assert set(written) == {*container_files(), f"{MODEL}/model.safetensors"}
    assert {"Dockerfile", ".dockerignore", "compose.yaml", "kubernetes/deployment.yaml"} <= set(written)
    for name, content in written.items():
        assert b"{%" not in content and (name.endswith(".json") or b"{{" not in content), name


def test_the_image_is_built_from_a_file_run_by_nobody_and_has_nothing_that_builds(folder):
    lines = instructions(folder)
    final = lines[max(n for n, (word, _) in enumerate(lines) if word == "FROM") :]
    assert "RUN" not in [word for word, _ in final]  # all that installs is in the stage before
    said = dict(final)
    assert said["USER"] == f"{NAMES['uid']}:{NAMES['uid']}" and NAMES["uid"] > 0
    assert "CMD [" in said["HEALTHCHECK"] and isinstance(json.loads(said["ENTRYPOINT"]), list)
    assert said["EXPOSE"] == str(NAMES["port"])
    (installs,) = [text for word, text in lines if word == "RUN" and "uv pip install" in text]
    assert f"headstart[serve] @ file:///wheels/{NAMES['wheel']}" in installs  # no registry's package of that name
    copied = [text.split()[-2] for word, text in lines if word == "COPY" and "--from" not in text]
    ignored = (folder / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*" and all(f"!{source.partition('/')[0]}" in ignored for source in copied)


def test_files_agree_on_names_ports_and_image(folder):
    found = documents(folder)
    service = found["compose.yaml"]["services"]["headstart"]
    deployment = found["kubernetes/deployment.yaml"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert service["image"] == container["image"] == IMAGE
    port = NAMES["port"]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"] and container["ports"][0]["containerPort"] == port
    (job,) = found["prometheus.yml"]["scrape_configs"]
    assert job["static_configs"] == [dict(targets=[f"headstart:{port}"])]
    (source,) = found["grafana/provisioning/datasources/prometheus.yaml"]["datasources"]
    assert source["url"] == f"http://prometheus:{NAMES['prometheus_port']}"
    used = set(re.findall(r'"uid": "(\w+)"\n', (folder / "grafana/dashboards/headstart.json").read_text()))
    assert used == {source["uid"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for chosen in (
        deployment["spec"]["selector"]["matchLabels"],
        found["kubernetes/service.yaml"]["spec"]["selector"],
        found["kubernetes/networkpolicy.yaml"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert chosen.items() <= labels.items()
    target = found["kubernetes/autoscaler.yaml"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # or applying it again would undo what the autoscaler did


def test_nothing_runs_with_more_rights_than_it_needs(folder):
    found = documents(folder)
    for name, service in found["compose.yaml"]["services"].items():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
        assert all(published.startswith("127.0.0.1:") for published in service["ports"]), name
    pod = found["kubernetes/deployment.yaml"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == NAMES["uid"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    held = container["securityContext"]
    assert held["readOnlyRootFilesystem"] and not held["allowPrivilegeEscalation"]
    assert held["capabilities"] == {"drop": ["ALL"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"]: "/tmp" for volume in pod["volumes"] if "emptyDir" in volume}
    assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() == {"cpu", "memory"}
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == dict(startupProbe="/readyz", livenessProbe="/healthz", readinessProbe="/readyz")
    assert found["kubernetes/networkpolicy.yaml"]["spec"]["egress"] == []


def test_a_key_in_the_environment_gets_into_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_API_KEY", "not-to-be-seen")
    (tmp_path / MODEL).mkdir()
    (tmp_path / MODEL / "model.safetensors").write_bytes(b"test")
    write_container(tmp_path, "arm")
    assert [name for name, content in files_below(tmp_path).items() if b"not-to-be-seen" in content] == []
    found = documents(tmp_path)
    (variable,) = found["kubernetes/deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable["name"] == "HEADSTART_API_KEY" and "value" not in variable
    given = found["compose.yaml"]["services"]["headstart"]["environment"]["HEADSTART_API_KEY"]
    assert given.startswith("${HEADSTART_API_KEY:?")  # compose refuses to start without it
    assert f"kubectl create secret generic {variable['valueFrom']['secretKeyRef']['name']} " in (
        (tmp_path / "README.md").read_text()
    )


def test_another_network_is_another_image(tmp_path):
    images = []
    for content in (b"one", b"two"):
        folder = tmp_path / content.decode()
        (folder / MODEL).mkdir(parents=True)
        (folder / MODEL / "model.safetensors").write_bytes(content)
        write_container(folder, "arm")
        images.append(documents(folder)["compose.yaml"]["services"]["headstart"]["image"])
    assert len(set(images)) == 2


def test_libraries_are_those_of_here_and_only_those_it_needs():
    import torch

    pinned = dict(line.split("==") for line in constraints())
    assert pinned["torch"] == torch.__version__.partition("+")[0]
    assert {"numpy", "pillow", "jinja2", "timm"} <= set(pinned)
    assert not {"pytest", "ruff", "headstart", "uv"} & set(pinned)
    assert f"uv=={NAMES['uv']}\n" in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("name", ["mine.txt", "Dockerfile", ".hidden", "wheels/x.whl"])
def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = files_below(tmp_path)
    said = f"holds {name.partition('/')[0]} already; give an empty or new folder"
    with pytest.raises(UserError, match=said) as error:
        check_container_folder(tmp_path, ALL)
    assert len(str(error.value).splitlines()) == 1 and files_below(tmp_path) == before


def test_force_replaces_its_own_files_and_keeps_all_others(tmp_path):
    (tmp_path / MODEL).mkdir()
    (tmp_path / MODEL / "model.safetensors").write_bytes(b"test")
    mine = {"notes.txt": "mine", ".env": "mine", "kubernetes/ingress.yaml": "mine", "Dockerfile": "old"}
    (tmp_path / "kubernetes").mkdir()
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    assert check_container_folder(tmp_path, ALL, force=True) == tmp_path
    write_container(tmp_path, "arm")
    kept = {name for name in mine if (tmp_path / name).read_text() == "mine"}
    assert kept == {*mine} - {"Dockerfile"}


def test_places_where_it_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "Dockerfile").mkdir(parents=True)
    with pytest.raises(UserError, match="file is a file; give a folder"):
        check_container_folder(tmp_path / "file", ALL)
    with pytest.raises(UserError, match="Dockerfile is a folder and has to be a file"):
        check_container_folder(tmp_path / "taken", ALL, force=True)
    with pytest.raises(UserError, match="--formats onnx: a container needs the weights, too"):
        check_container_folder(tmp_path / "new", ["onnx"])
    assert check_container_folder(tmp_path / "new", ALL) == tmp_path / "new"


def test_compose_and_the_dashboard_are_valid(folder):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    board = json.loads((folder / "grafana/dashboards/headstart.json").read_text())
    assert board["title"] == 'headstart: an "arm"'
    boxes = [panel["gridPos"] for panel in board["panels"]]
    cells = [(x, y) for b in boxes for x in range(b["x"], b["x"] + b["w"]) for y in range(b["y"], b["y"] + b["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) == 23  # no panel over another, the width used
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_dashboard_asks_for_figures_that_the_server_has(folder):
    board = json.loads((folder / "grafana/dashboards/headstart.json").read_text())
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    settings = Settings()
    drift = Drift((0.5,) * 3, (0.5,) * 3)
    metrics = Metrics.of(Pool(), Admission(settings), drift, "")
    metrics.requests.labels("/predict", "200").inc()
    metrics.seconds.labels("/predict").observe(1)
    metrics.note_answer("cat", Answer(np.array([1.0]), 1))
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    offered = {re.match(r"\w+", line)[0] for line in lines}
    assert set(re.findall(r"headstart_\w+", asked)) <= offered
    labels = set(re.findall(r"by \((\w+)\)", asked)) | set(re.findall(r"{(\w+)=", asked))
    assert labels - {"le"} <= set(re.findall(r"(\w+)=\"", "".join(lines)))


def test_the_server_takes_what_the_image_and_kubernetes_start_it_with(folder):
    _, verb, *words = json.loads(dict(instructions(folder))["ENTRYPOINT"])
    (container,) = documents(folder)["kubernetes/deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert verb == "serve" and "command" not in container
    taken = make_parser("serve").parse_args([*words, *container["args"]])
    assert (taken.model, taken.host, taken.port) == ("/model", "0.0.0.0", NAMES["port"])
    assert container["env"][0]["name"] == KEY_VARIABLE
    assert NAMES["grace"] > taken.timeout + 10  # what was accepted is answered before the process is killed


CHECKERS = {  # heavier than what the tests need, so run where they are installed
    "hadolint": "hadolint --failure-threshold info Dockerfile",
    "kubernetes-validate": "kubernetes-validate --strict kubernetes/deployment.yaml kubernetes/service.yaml "
    "kubernetes/autoscaler.yaml kubernetes/networkpolicy.yaml",
    "promtool": "promtool check config --syntax-only prometheus.yml",
}


@pytest.mark.parametrize("tool", CHECKERS)
def test_others_tools_find_nothing(folder, tool):
    path = os.pathsep.join([str(BIN), os.environ["PATH"]])
    if shutil.which(tool, path=path) is None:
        pytest.skip(f"{tool} is not installed")
    words = shlex.split(CHECKERS[tool])
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""What a cluster needs before jobs are sent to it, by the launcher that was chosen."""

import pytest
from omegaconf import OmegaConf

from headstart.errors import UserError
from headstart.sweep.cluster import prepare_cluster


def chosen(launcher, **node):
    return OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/launcher": launcher}}, "launcher": node}})


def test_jobs_on_this_machine_need_nothing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    for launcher in ("basic", "joblib", "submitit_local"):
        prepare_cluster(chosen(launcher))


def test_slurm_needs_its_commands(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="needs Slurm's commands"):
        prepare_cluster(chosen("submitit_slurm"))


def test_ray_is_initialised_with_what_its_launcher_would_hand_it(monkeypatch):
    seen = []
    monkeypatch.setattr("headstart.sweep.cluster.prepare.prepare_ray", seen.append)
    prepare_cluster(chosen("ray", ray={"init": {"address": None, "num_cpus": 2}}))
    assert seen == [{"address": None, "num_cpus": 2}]

"""What a cluster needs before jobs are sent to it, whichever it is."""

from omegaconf import DictConfig, OmegaConf

from headstart.sweep.cluster.ray_nodes import prepare_ray
from headstart.sweep.cluster.slurm import prepare_slurm


def prepare_cluster(config: DictConfig) -> None:
    """Prepare that of the chosen hydra/launcher, if any; config: the whole one. Raises UserError."""
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    prepare_slurm(launcher)
    if launcher == "ray":
        prepare_ray(OmegaConf.to_container(config.hydra.launcher.ray.init, resolve=True))

"""The configuration files as Hydra sees them: groups and options, what they compose to, the help that lists them."""

from collections.abc import Iterable
from contextlib import nullcontext
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from headstart.config.search_path import CONF, experiments_folder, given_search_path, own_folders, study_folders

HELP = """headstart: what does pretraining buy an image classifier, against training from random weights?

One run          headstart model=resnet18 lr=1e-3
A study          headstart -m experiments=quickstart
Your own sweep   headstart -m model=cnn,resnet18 data=digits
Your pictures    headstart data pictures
Tables again     headstart report outputs/quickstart

Groups (group=option)
{rows}

Keys people change (key=value; `headstart --cfg job` shows them all)
  lr=1e-3 epochs=10 batch_size=64 seed=0      training
  data.train_size=5000 data.classes=[0,1]     fewer images (stratified), fewer classes
  data.folds=5 [data.fold=0]                  a fold validates; with -m the confirmations take all in turn
  model.weights=null|imagenet|FILE            start from random or from pretrained weights
  model.freeze=none|backbone|backbone_until:N fine-tune everything, the head, or all above stage N
  patience=5 clip_grad_norm=1 label_smoothing=0.1 optimizer.weight_decay=1e-2
  device=auto threads=2 precision=auto|fp32|bf16 compile=auto|off|on
  corruptions=true                            test pictures also under noise, blur, JPEG and low contrast
  minutes=30                                  with -m: trials, epochs and seeds that fit, but for those typed
  n_trials=12 lr_low=1e-5 lr_high=1e-1 jobs=2 dry_run=true     with -m only
  KEY=A,B or KEY=choice(A,B)                  with -m: each value an arm (lr: searched)
  KEY=range(2,9) or KEY=interval(0,1)         with -m: searched in each arm
  confirm_seeds=5|auto confirm=search|best margin=0.5 halving=3  with -m only
  resume=outputs/runs/...                     go on with an interrupted run

CIFAR is read from $$HEADSTART_DATA or ./data and downloaded there when missing. Everything is written below outputs/.
Tab completion: eval "$$(headstart -sc install=bash)". Hydra's own flags: headstart --hydra-help
"""


def composed(words: Iterable[str], *, hydra: bool = False) -> DictConfig:
    """What Hydra composes of these overrides, inside a job as well as outside; hydra: with its own part."""
    running = GlobalHydra.instance().is_initialized()
    with nullcontext() if running else initialize_config_module(CONF):
        return compose("config", [*given_search_path(), *words], return_hydra_config=hydra)


def option_alone(group: str, name: str) -> DictConfig:
    """What an option of a group says, with those that it builds on; a third of the time of a whole configuration."""
    running = GlobalHydra.instance().is_initialized()
    with nullcontext() if running else initialize_config_module(CONF):
        return compose(f"{group}/{name}", given_search_path())[group]


def groups() -> list[str]:
    """The config groups, in the order of conf/config.yaml."""
    return [group for group in default_options() if "/" not in group]


@lru_cache(maxsize=1)
def default_options() -> dict[str, str]:
    """The option of each group that conf/config.yaml names."""
    entries = OmegaConf.load(str(files(CONF) / "config.yaml")).defaults
    return {k: str(v) for e in entries if isinstance(e, DictConfig) for k, v in e.items()}


def options(group: str, *, own: bool = True) -> list[str]:
    """The options of a config group: names of its YAML files, sorted; own: with those in the user's own folders."""
    ours = experiments_folder() if group == "experiments" else Path(str(files(CONF))) / group
    others = [folder / group for folder in own_folders()]
    others = [*study_folders(), Path.cwd() / group] if group == "experiments" else others  # also there they are found
    return sorted({path.stem for folder in ([ours, *others] if own else [ours]) for path in folder.glob("*.yaml")})


def study_file(name: str) -> Path | None:
    """The file that `experiments=name` reads; None where it is in none of the folders known here."""
    paths = (folder / f"{name}.yaml" for folder in study_folders())
    return next(filter(Path.is_file, paths), None)


def help_text() -> str:
    """What `headstart --help` prints."""
    rows = "\n".join(f"  {g:<13} {', '.join(options(g))}" for g in groups())
    return HELP.replace("{rows}", rows)

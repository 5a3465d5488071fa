"""Which module may import which, read from the sources; and what starts without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import headstart

FOLDER = Path(headstart.__file__).parent
MOVED = {
    "album": "report.figures",
    "arguments": "config.overrides",
    "arm_rows": "analysis.arms_table",
    "arms": "sweep.arms",
    "augmentation": "data.augmentation",
    "backbone": "models.model",
    "cache": "store.feature_cache",
    "cache_command": "cli.cache",
    "caveats": "analysis.caveats",
    "cells": "report.display_tables",
    "cifar": "data.cifar",
    "classical": "models.estimators",
    "classifier": "inference.classifier",
    "cli": "cli.main",
    "columns": "analysis.columns",
    "comparison": "analysis.comparison",
    "config": "config.schema",
    "console": "training.progress_bar",
    "csv_tables": "analysis.csv_tables",
    "current": "training.trial_context",
    "data": "data.sources",
    "devices": "training.devices",
    "drawing": "report.plots.style",
    "evaluation": "training.metrics",
    "export": "inference.export",
    "features": "training.frozen_features",
    "fingerprint": "sweep.fingerprint",
    "fitting": "training.estimator_trainer",
    "folder": "data.image_folder",
    "freezing": "models.freezing",
    "images": "data.decoding",
    "job": "training.run",
    "locks": "store.locks",
    "mapped": "store.image_cache",
    "mirrors": "training.flips",
    "models": "models.builders",
    "networks": "models.architectures",
    "padding": "models.trimmed_conv",
    "page": "report.page",
    "pair_rows": "analysis.pairs_table",
    "pictures": "report.galleries",
    "places": "store.cache_paths",
    "plots": "report.plots.all",
    "plots_arms": "report.plots.arms",
    "plots_predictions": "report.plots.predictions",
    "plots_search": "report.plots.search",
    "plots_swept": "report.plots.hyperparameters",
    "policies": "data.auto_augment",
    "progress": "sweep.progress",
    "published": "models.pretrained",
    "records": "store.run_folder",
    "rehearsal": "sweep.preflight",
    "report": "report.write",
    "reported": "analysis.published_figures",
    "runs_of_arm": "analysis.runs_of_arm",
    "sampling": "sweep.samplers",
    "searches": "analysis.repeated_searches",
    "splits": "data.splits",
    "standing": "sweep.study_state",
    "storage": "sweep.storage",
    "study": "sweep.scheduler",
    "sweep": "sweep.launch",
    "sweeper": "sweep.plugin",
    "tables": "analysis.collate",
    "task": "sweep.trial_task",
    "thumbnails": "data.thumbnails",
    "training": "training.trainer",
    "transfer": "models.load_weights",
    "trial": "sweep.trial",
    "turns": "sweep.turns",
    "verdict": "analysis.verdict",
    "weights": "models.weight_files",
    "workers": "sweep.workers",
    "workspace": "store.scratch",
}


def file_of(module: str) -> Path:
    return (FOLDER / MOVED.get(module, module).replace(".", "/")).with_suffix(".py")


NEVER = {
    "arguments": {"torch", "optuna", "timm"},
    "augmentation": {"hydra", "omegaconf"},
    "backbone": {"hydra", "omegaconf"},
    "cache": {"torch", "hydra", "omegaconf"},
    "cache_command": {"torch", "hydra", "omegaconf"},
    "arm_rows": {"torch", "hydra", "omegaconf"},
    "caveats": {"torch", "hydra", "omegaconf"},
    "cifar": {"hydra", "omegaconf"},
    "columns": {"torch", "hydra", "omegaconf"},
    "classical": {"hydra", "omegaconf"},
    "comparison": {"torch", "hydra", "omegaconf"},
    "config": {"headstart", "torch"},
    "current": {"headstart", "torch", "hydra", "omegaconf"},
    "data": {"hydra", "omegaconf"},
    "devices": {"hydra", "omegaconf"},
    "evaluation": {"hydra", "omegaconf", "headstart.training.trainer"},
    "features": {"hydra", "omegaconf"},
    "fitting": {"hydra", "omegaconf"},
    "folder": {"hydra", "omegaconf"},
    "images": {"hydra", "omegaconf"},
    "freezing": {"hydra", "omegaconf"},
    "locks": {"headstart", "torch", "hydra", "omegaconf"},
    "mirrors": {"hydra", "omegaconf"},
    "models": {"hydra", "omegaconf"},
    "networks": {"headstart", "hydra", "omegaconf"},
    "notebook": {"hydra"},
    "cells": {"torch", "hydra", "omegaconf"},
    "page": {"torch", "hydra", "omegaconf"},
    "pair_rows": {"torch", "hydra", "omegaconf"},
    "policies": {"hydra", "omegaconf", "headstart"},
    "published": {"hydra", "omegaconf"},
    "places": {"torch", "hydra", "omegaconf"},
    "records": {"torch", "hydra", "omegaconf"},
    "report": {"torch", "hydra", "omegaconf"},
    "reported": {"torch", "hydra", "omegaconf"},
    "searches": {"torch", "hydra", "omegaconf"},
    "splits": {"hydra", "omegaconf"},
    "statistics": {"torch", "hydra", "omegaconf"},
    "study": {"torch"},
    "sweep": {"torch"},
    "sweeper": {"torch"},
    "tables": {"torch", "hydra", "omegaconf"},
    "thumbnails": {"torch", "hydra", "pandas", "headstart"},
    "training": {"hydra", "omegaconf"},
    "transfer": {"hydra", "omegaconf"},
    "verdict": {"torch", "hydra", "omegaconf", "pandas"},
    "weights": {"hydra", "omegaconf"},
}
EXCEPT = {"config": {"headstart.errors"}}  # the one class that all raise
NEVER_AT_THE_TOP = {"sweeper": {"optuna", "torch"}, "cli": {"optuna", "torch", "headstart.training.run", "pandas"}}


def imports(tree: ast.AST) -> set[str]:
    """Names that a module imports anywhere, inside functions too, with `from headstart import a` as `headstart.a`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            own = (FOLDER.parent / node.module.replace(".", "/")).is_dir()
            found |= {f"{node.module}.{a.name}" for a in node.names} if own else {node.module}
    return found


def forbidden(found: set[str], never: set[str]) -> set[str]:
    return {name for name in found if any(name == n or name.startswith(n + ".") for n in never)}


@pytest.mark.parametrize("module", sorted(NEVER))
def test_modules_import_only_in_the_agreed_direction(module):
    tree = ast.parse(file_of(module).read_text())
    assert not forbidden(imports(tree), NEVER[module]) - EXCEPT.get(module, set())


@pytest.mark.parametrize("module", sorted(NEVER_AT_THE_TOP))
def test_modules_that_every_start_imports_import_nothing_heavy_at_the_top(module):
    tree = ast.parse(file_of(module).read_text())
    top = ast.Module([n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.ClassDef)], [])
    assert not forbidden(imports(top), NEVER_AT_THE_TOP[module])


def test_nothing_imports_the_command_line():
    importers = [p.stem for p in FOLDER.rglob("*.py") if "headstart.cli.main" in imports(ast.parse(p.read_text()))]
    assert importers == []


HEAVY = ("torch", "torchvision", "timm", "sklearn", "optuna", "scipy", "matplotlib")


@pytest.mark.parametrize("entry", ["cli", "report", "export", "cache_command"])
def test_help_comes_without_importing_anything_heavy(entry):
    script = (
        f"import sys\nfrom headstart.{MOVED.get(entry, entry)} import main\n"
        "sys.argv = ['headstart', '--help']\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('imported:', *(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("imported:")
    assert "headstart" in done.stdout


def test_collating_tables_needs_no_torch(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    script = (
        "import sys\nfrom headstart.report.write import main\n"
        "sys.argv = ['headstart-report', '.']\nmain()\nprint('torch' in sys.modules, 'hydra' in sys.modules)"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False False"

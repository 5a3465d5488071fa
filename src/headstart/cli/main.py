"""Entry point `headstart`: a verb to its module, everything else to Hydra; exit code out. Nothing heavy at the top."""

import logging
import os
import shlex
import sys
from collections.abc import Collection
from pathlib import Path

from headstart.cli import completion, interrupts
from headstart.cli.console import lost_output, print_anywhere, refuse
from headstart.cli.verbs import VERBS, find_verb, meant_verb, run_verb, verbs_help
from headstart.errors import UserError


def main() -> None:
    """`headstart VERB ...`; else one run, or with -m a sweep."""
    interrupts.listen()
    print_anywhere()
    logging.raiseExceptions = False  # what a full disk does not take of a log is no traceback for each line of it
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # which tells of every cache that it fills
    for name in ("botocore", "aiobotocore"):  # which tell in each process where they found credentials
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        code = _answer(sys.argv[1:])
        sys.stdout.flush()
    except SystemExit:
        interrupts.say_how_to_go_on()
        raise
    except OSError as error:
        code = lost_output(error)
    if code:
        sys.exit(code)


def _answer(words: list[str]) -> int:
    """Do what the words say; return the exit code."""
    verb = find_verb(words[0]) if words else None
    if verb is not None:
        return run_verb(verb, words[1:])
    if "--version" in words:
        from headstart import __version__

        print(f"headstart {__version__}")
        return 0
    if completion.is_asked(words):
        if completion.print_choices():
            return 0
        words = [*words, *completion.config_dir()]
    return _run_configured(words)


def _run_configured(words: list[str]) -> int:
    """Hand the words to Hydra, and report the sweep that it did; return the exit code."""
    from hydra.errors import CompactHydraException, InstantiationException
    from omegaconf.errors import InterpolationResolutionError
    from yaml import YAMLError

    from headstart.config import explain, explain_value

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # so that Hydra hands its errors over instead of printing them
    try:
        words = words if completion.is_asked(words) else _understood(words)
        sys.argv[1:] = words
        if {"-h", "--help"} & set(words):
            print(verbs_help(), end="\n\n")
        _call_hydra(words)
        _report_sweep()
    except UserError as error:
        return refuse(str(error))
    except InterpolationResolutionError as error:
        return refuse(explain_value(error))
    except (CompactHydraException, InstantiationException) as error:
        return refuse(explain(error, sys.argv[1:]))
    except YAMLError as error:  # of a file that an arm or another file chooses
        return refuse(f"a configuration file cannot be read: {' '.join(str(error).split())}")
    return 0


def _understood(words: list[str]) -> list[str]:
    """The words as Hydra takes them. Raises UserError for those that mean something else."""
    from headstart.config import check_own_files, expand_config_dir, expand_study, passed_over, understood

    words = expand_config_dir(words)
    _check_verb(words)
    sys.argv[1:] = words  # by which options in folders of the user's own are found
    words = understood(words)
    if line := passed_over(words):
        print(f"headstart: {line}", file=sys.stderr)
    sys.argv[1:] = words = expand_study(words)
    check_own_files(words)
    return words


def _call_hydra(words: list[str]) -> None:
    import hydra

    from headstart.cli import job
    from headstart.config import WHITELIST, check_words, expand_resume, quote_names
    from headstart.sweep import ArmsSweeper

    ArmsSweeper.seeds_wanted = staticmethod(_seeds_wanted)
    check_words(words)
    sys.argv[1:] = expand_resume(quote_names(words))
    hydra.main(config_path="pkg://headstart.conf", config_name="config", execution_whitelist=WHITELIST)(job.run_job)()


def _seeds_wanted(folder: Path, arms: Collection[str]) -> dict[str, int]:
    from headstart.analysis import seeds_wanted  # pandas: not before a sweep has something to compare

    return seeds_wanted(folder, arms)


def _report_sweep() -> None:
    """Write and print the report of the sweep that has ended, then say what went wrong in it.

    Raises:
        UserError: the report cannot be written, or the sweep has failed.
    """
    from headstart.sweep import ArmsSweeper

    ended, ArmsSweeper.ended = ArmsSweeper.ended, None
    if ended is None:  # a single run, or a worker of a sweep that another process reports
        return
    from headstart.cli.report import report

    report([ended.folder])
    for problem in ended.problems:
        print(problem, file=sys.stderr)
    if ended.error:
        raise UserError(ended.error)


def _check_verb(words: list[str]) -> None:
    """Refuse a misspelt verb before Hydra takes it for an override. Raises UserError."""
    if not words or "=" in words[0] or words[0].startswith(("-", "+", "~")):
        return
    from headstart.config import options

    if (verb := meant_verb(words[0], options("experiments"))) is not None:
        command = shlex.join(["headstart", verb.name, *words[1:]])
        known = ", ".join(known.name for known in VERBS)
        raise UserError(f"{words[0]!r} is neither key=value nor a verb ({known}). Did you mean {command}?")


if __name__ == "__main__":
    main()

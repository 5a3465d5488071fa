"""What Hydra and OmegaConf read and parse again for every command is read and parsed once in a process of the tests.

Each composition reads the same files of conf/ and parses the same words in them: a third of what it takes. Both are
functions of a text that stands still while tests run, so that what a command gets is the same, in a copy of its own.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any


def keep(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Put functions that remember in place of those that don't; put: as setattr, to be able to take it back."""
    import omegaconf.grammar_parser
    from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource as Source

    parse = omegaconf.grammar_parser.parse
    remembered = functools.lru_cache(maxsize=20_000)(parse)  # a tree that nobody writes to; errors are none
    for module in (omegaconf.grammar_parser, omegaconf.base, omegaconf._utils):
        if module.parse is parse:
            put(module, "parse", remembered)
    read, known = Source._read_config, {}

    def read_once(self: Source, file: Any) -> Any:
        key = self.provider, str(file)
        if key not in known:
            known[key] = read(self, file)
        return copy.deepcopy(known[key])

    put(Source, "_read_config", read_once)

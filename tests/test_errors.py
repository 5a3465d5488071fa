"""Errors in one line."""

import pytest

from headstart.errors import UserError, summary


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("the mistake\nthe way out"), "the mistake"),
        (RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"), "CUDA error: out of memory"),
        (RuntimeError("Error(s) in loading ResNet:\n\tMissing key(s)"), "Error(s) in loading ResNet: Missing key(s)"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_in_one_line_says_what_is_wrong(error, line):
    assert summary(error) == line

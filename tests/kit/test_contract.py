"""`contract` as a plugin author uses it, in a pytest of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from zoo.errors import ZooError
from zoo.testing import contract

PLUGIN = """
from zoo import DatasetSpec, hookimpl
from zoo_images.tiny import TinyImages

class CountsFromOne(TinyImages):
    def split(self, name):
        return [(image, label + 1) for image, label in super().split(name)]

def absent():
    from zoo import DataError
    raise DataError("it is on the other disk")

@hookimpl
def zoo_datasets():
    fields = {"task": "classification", "summary": "For the kit's own tests"}
    return [DatasetSpec(name="tiny", target="acme:CountsFromOne", **fields),
            DatasetSpec(name="other", target="acme:CountsFromOne", **fields),
            DatasetSpec(name="far", target="acme:absent", **fields)]
"""

TEST = """
from zoo.testing import contract

@contract("acme", {expected})
def test_contract(check):
    check()
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what pytest prints of the contract tests of the plugin."""
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme.py").write_text(PLUGIN, encoding="utf-8")
    expected = {"tiny-labels_in_range": "issue 12", "tiny-splits_differ": "issue 13"}
    (folder / "test_acme.py").write_text(TEST.format(expected=expected), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-W", "error"]
    env = {**os.environ, "ZOO_PLUGIN_FILES": "acme.py"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow  # seconds, in a pytest of its own
def test_each_check_is_a_test_that_passes_fails_skips_or_is_expected_to_fail(output):
    assert "XFAIL test_acme.py::test_contract[tiny-labels_in_range] - issue 12" in output
    assert "PASSED test_acme.py::test_contract[tiny-items_fit_dims]" in output
    assert "[XPASS(strict)] issue 13" in output
    assert "it is on the other disk" in output
    assert "2 failed, 34 passed, 24 skipped, 1 xfailed" in output


@pytest.mark.slow
def test_a_failed_check_says_what_was_expected_what_it_got_and_the_usual_cause(output):
    assert "FAILED test_acme.py::test_contract[other-labels_in_range]" in output
    assert "expected train labels from 0 to 9; got 10. Usually: labels that start at 1" in output


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        ({"shapes": "issue 12"}, "images has no check 'shapes'"),
        (
            {"shapes-labels_in_rang": "issue 12"},
            "'shapes-labels_in_rang'; did you mean 'shapes-labels_in_range'?",
        ),
        ({"shapes-labels_in_range": " "}, "shapes-labels_in_range has no reason"),
    ],
)
def test_an_expected_failure_must_name_a_check_and_have_a_reason(expected, error):
    with pytest.raises(ZooError, match=re.escape(error)):
        contract("images", expected)


def test_a_plugin_may_be_a_file(tmp_path):
    path = tmp_path / "two_nets.py"
    path.write_text(PLUGIN.replace("acme:", "two_nets:"), encoding="utf-8")
    (checks,) = contract(str(path)).args[1:]
    assert {check.id for check in checks} > {"two-nets-loads", "tiny-labels_in_range", "far-has_three_splits"}
    with pytest.raises(ZooError, match="no such file: nowhere"):
        contract("nowhere.py")

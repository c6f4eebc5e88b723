"""Formats that plugins bring: one owner for each suffix, and nothing imported to list them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_up import distribution
from tests.shell import zoo
from zoo.errors import OptionError, SpecError
from zoo.registry.specs import ExporterSpec

PLUGIN = """
from zoo import ExporterSpec, hookimpl

@hookimpl
def zoo_exporters():
    return [ExporterSpec(name={name!r}, target="{module}:Writer", reader="{module}:read", suffix={suffix!r},
                         extra={extra!r}, summary="Say something.")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that installs a made-up distribution whose plugin has one exporter."""
    monkeypatch.chdir(tmp_path)

    def install(plugin: str, suffix: str = ".x", *, name: str = "thing", extra: str = "") -> None:
        source = PLUGIN.format(name=name, suffix=suffix, module=f"{plugin}_files", extra=extra)
        place = distribution(tmp_path / "site", plugin, source)
        (place / f"{plugin}_files.py").write_text("import no_such_format")
        monkeypatch.syspath_prepend(str(place))
        for module in (plugin, f"{plugin}_files"):
            monkeypatch.delitem(__import__("sys").modules, module, raising=False)

    return install


def test_it_is_listed_and_shown_without_being_imported(install) -> None:
    install("acme")
    assert "acme/thing  Say something." in zoo("--strict", "list", "exporters").stdout
    shown = zoo("--strict", "show", "thing").stdout
    assert ".x, read and write" in shown
    assert "zoo export WEIGHTS --to thing" in shown


def test_a_missing_extra_is_named(install) -> None:
    install("acme", extra="files")
    Path("model.x").write_bytes(b"x")
    done = zoo("predict", "model.x", "cat.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert "running model.x requires no_such_format, which is not installed" in done.stderr
    assert '`pip install "acme[files]"` installs it' in done.stderr
    done = zoo("export", "nietzsche-rnn", "--to", "thing", "--synthetic")
    assert "exporting to thing requires no_such_format, which is not installed" in done.stderr
    assert not Path("nietzsche-rnn.x").exists()


def test_an_exporter_that_fails_names_its_plugin(install) -> None:
    install("acme")
    (module,) = Path("site").rglob("acme_files.py")
    module.write_text(
        "from zoo.interfaces import Exporter\n\nclass Writer(Exporter):\n"
        "    def write(self, model): 1 / 0\n    def start(self, content, signature, threads): ...\n"
    )
    done = zoo("export", "nietzsche-rnn", "--to", "thing", "--synthetic")
    assert done.returncode == 1
    assert "charrnn/rnn cannot be exported to thing: ZeroDivisionError" in done.stderr
    assert "`zoo check acme` may explain this error" in done.stderr


def test_nobody_can_take_a_suffix_of_zoos_own(install) -> None:
    install("acme", ".onnx")
    shown = zoo("plugins").stdout
    assert "the exporter of .onnx files is already provided by zoo" in " ".join(shown.split())
    assert "zoo/onnx" in zoo("list", "exporters").stdout


def test_two_plugins_cannot_have_one_suffix(install) -> None:
    install("acme")
    install("brand", name="other")
    done = zoo("list", "exporters")
    assert "failed: the exporter of .x files is already provided by acme" in done.stderr
    assert "brand" not in done.stdout
    assert zoo("--strict", "list").returncode == 1


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".safetensors", "suffix '.safetensors' is already used by zoo"),
        ("onnx", "suffix must be a lowercase suffix such as .onnx"),
        (".tar.gz", "suffix must be a lowercase suffix such as .onnx"),
    ],
)
def test_a_suffix_that_means_something_else_is_refused(suffix: str, message: str) -> None:
    with pytest.raises((SpecError, OptionError)) as caught:
        ExporterSpec(name="x", target="a:B", summary="s", suffix=suffix)
    assert message in str(caught.value)

"""Model cards: which fields they have, what is left out, and how texts from files are escaped."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

import zoo
from tests.shell import zoo as run
from zoo import Registry, ZooWarning
from zoo.errors import WeightsError
from zoo.plugin import save
from zoo.tools.share.card_text import as_html, as_markdown

HOSTILE = ["<script>alert(1)</script>", "a|b", "`c`", "*d*", "[e](http://f)", "&lt;", "red: \x1b[31m", "_g_"]
PLUGIN = """
from zoo import AnalyzerSpec, hookimpl
from zoo.interfaces import Analysis, Analyzer

api = 1

class Sound(Analyzer):
    def analyze(self, model, batches, *, subject):
        table = [{"part": "head", "share": 0.25}]
        return Analysis(scores={"loudness": 0.5}, tables={"parts": table}, details={})

class Broken(Analyzer):
    def analyze(self, model, batches, *, subject):
        raise ValueError("no such thing")

def spec(name, target):
    tasks = ("classification",)
    return AnalyzerSpec(name=name, target=target, summary="For cards", tasks=tasks, in_card="split")

@hookimpl
def zoo_analyzers():
    return [spec("sound", f"{__name__}:Sound"), spec("broken", f"{__name__}:Broken")]
"""


class Page(HTMLParser):
    """The tags and the text of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def rendered(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark").enable("table").render(markdown))


@pytest.fixture(scope="module")
def of_run(net_file: Path) -> Any:
    return zoo.card(net_file.parent, device="cpu", progress=False)


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))


def test_the_card_of_a_run_has_its_results_and_figures(of_run: Any, net_file: Path) -> None:
    fields, model = of_run.fields, zoo.load(net_file, device="cpu")
    assert fields["parameters"] == model.num_parameters
    assert fields["metrics"] == model.card.metrics | {"test": model.evaluate(progress=False)["metrics"]}
    assert len(fields["by_class"]) == len(fields["classes"]) == 8
    assert [found["analyzer"] for found in fields["findings"]] == [
        *("analyzers/confusion", "analyzers/calibration", "cam/grad-cam")
    ]
    assert {"confusion.png", "calibration.png", "grad-cam.jpg", "learning-curve.png"} < {*of_run.figures}
    assert fields["history"] == zoo.Run(net_file.parent).history
    assert "license" not in fields, "nobody has published it"
    bins = of_run.markdown().partition("| accuracy low |")[2].partition("\n\n")[0]
    assert bins
    assert "%" not in bins, "the accuracy of a bin has no other unit than its bounds"
    assert json.loads(json.dumps(fields)) == fields


def test_both_formats_have_the_same_sections(of_run: Any) -> None:
    titles = re.findall(r"^## (.*)", of_run.markdown({name: name for name in of_run.figures}), re.M)
    assert re.findall("<h2>(.*)</h2>", of_run.html()) == titles
    assert {"Use", "Limits", "Metrics by class", "Calibration", "Grad-cam", "Learning curve"} < {*titles}
    assert of_run.html().count("<img") == len(of_run.figures)
    assert "| true | predicted |" in of_run.markdown(), "in place of the figure"
    assert "<th>predicted</th>" not in of_run.html()
    assert "http" not in re.sub('src="data:[^"]*"', "", of_run.html()).replace("https://arxiv.org", "")


def test_a_figure_without_an_address_is_left_out_of_markdown(of_run: Any) -> None:
    assert "![" not in of_run.markdown()
    assert "## Grad-cam" not in of_run.markdown(), "nothing else would be in this section"
    assert "| epoch | train | val |" in of_run.markdown(), "in place of the learning curve"
    linked = of_run.markdown({"learning-curve.png": "figures/curve.png"})
    assert "](figures/curve.png)" in linked
    assert "| epoch |" not in linked


def test_published_weights_have_fields_of_the_registry(registry: Registry) -> None:
    made = zoo.card("cifar10-convnet-bn", measure=False, progress=False)
    fields = made.fields
    assert "| split | metric | value | 95% interval |\n" in made.markdown(), "the baseline must be measured"
    spec = registry.weights["cifar10-convnet-bn"]
    assert fields["license"] == spec.license
    assert fields["metrics"] == spec.metrics
    assert fields["sha256"] == spec.sha256
    assert fields["environment"]["cpu_seconds"] == spec.seconds
    assert fields["spread"] == "77.32 ± 0.26% accuracy over 3 seeds"
    assert fields["check"]["train with the recipe"] == "zoo train cifar10-convnet-bn"
    assert fields["dataset"]["license"] == registry.dataset("cifar10").spec.license


@pytest.mark.usefixtures("without_data")
def test_what_needs_missing_data_is_left_out_with_one_reason() -> None:
    done = run("card", "cifar10-convnet-bn")
    assert done.returncode == 0
    notices = [line for line in done.stderr.splitlines() if line.startswith("zoo: ")]
    assert len(notices) == 1, notices
    assert notices[0].startswith("zoo: left out metrics by class, confusion, calibration, grad-cam: cifar-10")
    assert "| test | accuracy | 77.22% | 76.39 to 78.03 |" in done.stdout
    assert "Metrics by class" not in done.stdout


def test_the_sample_text_is_that_of_the_command(lstm_file: Path) -> None:
    fields = zoo.card(lstm_file.parent, device="cpu", progress=False).fields
    assert fields["sample"]["command"] == f"zoo sample {lstm_file.parent}"
    assert run("sample", lstm_file.parent, "--device", "cpu").stdout.strip("\n") == fields["sample"][
        "text"
    ].strip("\n")
    assert not any("classes" in limit for limit in fields["limits"])


def test_metrics_that_the_file_lacks_are_measured(net_file: Path, tmp_path: Path) -> None:
    model = zoo.load(net_file, device="cpu")
    save(tmp_path / "bare.safetensors", model.module, replace(model.card, metrics={}, intervals={}))
    fields = zoo.card(tmp_path / "bare.safetensors", device="cpu", progress=False).fields
    assert fields["metrics"] == {"test": model.evaluate("test", progress=False)["metrics"]}
    assert fields["intervals"].keys() == {"test"}


def test_an_analyzer_of_a_plugin_has_a_section_and_one_that_fails_is_left_out(
    net_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text(PLUGIN)
    registry = Registry.discover(files=[tmp_path / "loud.py"])
    with pytest.warns(ZooWarning, match="left out broken: ValueError: no such thing"):
        made = zoo.card(net_file, device="cpu", progress=False, registry=registry)
    (section,) = re.findall(r"^## Sound\n\n(.*?)\n## ", made.markdown(), re.M | re.S)
    assert "For cards, on the test split." in section
    assert "| loudness | 0.5 |" in section
    assert "| head | 25.00% |" in section


def test_texts_of_a_file_are_shown_and_never_parsed(net_file: Path, tmp_path: Path) -> None:
    model = zoo.load(net_file, device="cpu")
    card = replace(
        model.card,
        task=HOSTILE[0],
        architecture=HOSTILE[1],
        preprocess={**model.card.preprocess, "classes": HOSTILE},
        metrics={"test": dict.fromkeys(HOSTILE, 0.5)},
        changes=("```\n# heading", *HOSTILE),
        versions=dict.fromkeys(HOSTILE, "<b>"),
    )
    save(tmp_path / "hostile.safetensors", model.module, card)
    made = zoo.card(tmp_path / "hostile.safetensors", measure=False, progress=False)
    usual = {*Page(zoo.card(net_file, device="cpu", progress=False).html()).tags}
    for page in (Page(made.html()), rendered(made.markdown())):
        assert {*page.tags} <= usual | {"code", "thead", "tbody"}
        for name in HOSTILE:
            assert name.replace("\x1b", "\\x1b") in page.text
    assert "\x1b" not in made.html() + made.markdown()


def test_generated_text_stays_in_its_block(of_run: Any) -> None:
    text = "````\n# heading\n<b>\x1b[31m"
    fields = of_run.fields | {"sample": {"command": "zoo sample x", "text": text}}
    for page in (Page(as_html(fields, of_run.figures)), rendered(as_markdown(fields, {}))):
        assert page.tags.count("h1") == 1
        assert "b" not in page.tags
        assert any(text.replace("\x1b", "\\x1b") in part for part in page.text)


def test_long_tables_and_lists_end_with_the_number_of_other_rows(of_run: Any) -> None:
    names = [f"class {number}" for number in range(1_000)]
    rows = [{"class": name, "count": 1} for name in names]
    text = as_markdown(of_run.fields | {"classes": names, "by_class": rows}, {})
    assert "class 99, and 900 more" in text
    assert "| class 99 | 1 |\n| and 900 more |" in text


@pytest.mark.parametrize("out", ["no/card.html", "folder"])
def test_a_file_that_cannot_be_written_is_an_error_before_any_work(out: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = run("card", "cifar10-convnet-bn", "--out", out, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"zoo: {out} ")
    assert "describing" not in done.stderr


def test_the_command_writes_a_page_and_prints_fields(net_file: Path, tmp_path: Path) -> None:
    words = ("card", net_file, "--no-measure", "--out", tmp_path / "card.html", "--html")
    assert run(*words).stdout == f"wrote {tmp_path / 'card.html'}\n"
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")
    printed = json.loads(run("card", net_file, "--no-measure", "--json").stdout)
    assert printed["architecture"]["name"] == "convnet/resnet-lite"
    assert printed["check"]["measure the metrics again"] == f"zoo verify {net_file}"


def test_an_exported_file_has_no_command_that_needs_weights(net_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    zoo.load(net_file, device="cpu").export(tmp_path / "net.onnx", progress=False)
    fields = zoo.card(tmp_path / "net.onnx", progress=False).fields
    assert len(fields["by_class"]) == 8
    assert "check" not in fields
    assert "findings" not in fields


def test_weights_that_do_not_exist_are_an_error() -> None:
    with pytest.raises(WeightsError, match="did you mean 'cifar10-resnet20'"):
        zoo.card("cifar10-resnet2")

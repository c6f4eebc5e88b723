"""The registry: plugins found and loaded one by one, and their entries found by name."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Annotated, Any

import pytest
from msgspec import Meta

from zoo.api.entry_description import describe
from zoo.api.entry_lists import matches, rows
from zoo.config.declarations import option
from zoo.config.recipe import Recipe
from zoo.errors import OptionError, PluginError, SpecError, UnknownName
from zoo.registry import plugins
from zoo.registry.catalog import Catalog
from zoo.registry.hookspecs import hookimpl
from zoo.registry.plugin_files import PluginFile
from zoo.registry.plugins import OURS, Plugin
from zoo.registry.registry import Registry
from zoo.registry.specs import AnalyzerSpec, ArchitectureSpec, DatasetSpec, FieldsSpec, MetricSpec
from zoo.testing._targets import registry_beside
from zoo_images.plugin import CLASSIFICATION


def net(name: str) -> tuple[str, ArchitectureSpec]:
    return "architecture", ArchitectureSpec(name=name, target="m:N", task="classification", summary="")


def plugin(name: str, *specs: tuple[str, Any], **changes: Any) -> Plugin:
    fields: dict[str, Any] = {"name": name, "status": "ok", "where": f"{name}.plugin", "specs": specs}
    return Plugin(**{**fields, **changes})


TASKS = plugin("images", ("task", dataclasses.replace(CLASSIFICATION, groups=())))


def registry_of(loaded: list[Plugin], catalog: Catalog | None = None) -> Registry:
    """Return a registry that knows the task too."""
    return Registry([TASKS, *loaded], catalog)


DATA = ("dataset", DatasetSpec(name="lstm", target="m:D", task="classification", summary=""))
CAM = ("analyzer", AnalyzerSpec(name="cam", target="m:C", summary="", tasks=("classification",)))
TWO = registry_of([plugin("acme", net("lstm"), net("gru"), DATA), plugin("text", net("lstm"), CAM)])


@pytest.mark.parametrize("name", ["gru", "acme/gru"])
def test_a_unique_short_name_and_the_full_name_find_the_entry(name: str) -> None:
    assert TWO.architecture(name).name == "acme/gru"


def test_entries_keep_the_order_of_plugins_and_can_be_narrowed() -> None:
    assert [entry.name for entry in TWO.entries("architecture")] == ["acme/lstm", "acme/gru", "text/lstm"]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [("net", True), ("convnet/", True), ("resnet*", True), ("*net20", True), ("resnet", True), ("gru", False),
     ("resnet?", False), ("convnet/resnet[0-9]*", True)],
)  # fmt: skip
def test_a_pattern_is_a_part_of_the_name_or_a_glob(pattern: str, fits: bool) -> None:
    assert matches("convnet/resnet20", pattern) is fits


def test_what_is_missing_because_of_zoo_plugins_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "convnet, cam")
    registry = Registry.discover(Catalog())
    only = "$ZOO_PLUGINS loads only convnet, cam"
    assert {registry.problem(entry) for entry in registry.failed_entries} == {
        f"unknown task 'classification' ({only})"
    }
    with pytest.raises(UnknownName) as caught:
        registry.task("classification")
    assert (caught.value.hint or "").endswith(f"; {only}")
    for find in (registry.dataset, registry.architecture):
        for name in ("nothing", "text/nothing"):
            with pytest.raises(UnknownName) as caught:
                find(name)
            assert (caught.value.hint or "").endswith(f"; {only}"), caught.value.hint
    monkeypatch.setenv("ZOO_PLUGINS", "")
    with pytest.raises(UnknownName) as caught:
        Registry.discover(Catalog()).dataset("shapes")
    assert (caught.value.hint or "").endswith("; $ZOO_PLUGINS loads no plugins")


def test_an_unknown_task_fails_the_entry_and_not_its_plugin() -> None:
    kind, spec = net("yolo")
    registry = registry_of(
        [plugin("acme", (kind, dataclasses.replace(spec, task="clasification")), net("gru"))]
    )
    assert [entry.name for entry in registry.entries("architecture")] == ["acme/gru"]
    (failed,) = registry.failed_entries
    assert (failed.name, registry.problem(failed)) == (
        "acme/yolo",
        "unknown task 'clasification'; did you mean 'classification'?",
    )
    line = f"architecture acme/yolo cannot be used: {registry.problem(failed)}"
    assert registry.problems() == [line]
    for name in ("yolo", "acme/yolo"):
        with pytest.raises(SpecError) as caught:
            registry.architecture(name)
        assert str(caught.value) == line
    with pytest.raises(
        PluginError, match=r"1 problem\(s\) with plugins: architecture acme/yolo cannot be used"
    ):
        registry.require_healthy()


RECALL = "metric", MetricSpec(name="recall", summary="Recall", target="acme:Recall", tasks=("detection",))


@pytest.mark.parametrize(("kind", "spec"), [CAM, RECALL])
def test_an_analyzer_and_a_metric_for_an_unknown_task_fail_too(kind: str, spec: Any) -> None:
    for_both = dataclasses.replace(spec, tasks=("classification", "detection"))
    registry = registry_of([plugin("acme", (kind, for_both))])
    (failed,) = registry.failed_entries
    assert registry.problem(failed) == "unknown task 'detection'"


def test_a_recipe_is_listed_with_the_task_that_its_names_mean() -> None:
    kind, spec = net("lstm")
    other = "task", dataclasses.replace(CLASSIFICATION, name="other", groups=())
    theirs = plugin("acme", other, (kind, dataclasses.replace(spec, task="other")))
    ours = plugin("charrnn", net("lstm"), ours=True)
    catalog = Catalog(recipes={"fox": Recipe(architecture="lstm", dataset="")})
    (row,) = rows(registry_of([ours, theirs], catalog), "recipe")
    assert row["task"] == "classification"


# Plugins

PLUGIN = """
from zoo import ArchitectureSpec, hookimpl

print("hello from the plugin")


@hookimpl
def zoo_architectures():
    return [ArchitectureSpec(name=n, target="x:Y", task="classification", summary="Mine") for n in NAMES]
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes a one-file plugin, names it, and disables another in registry.toml."""

    def make(name: str, *names: str, disabled: str = "") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(PLUGIN.replace("NAMES", repr(names)))
        monkeypatch.setenv("ZOO_PLUGIN_FILES", str(path))
        (tmp_path / "registry.toml").write_text(f"schema = 1\n[plugins]\ndisabled = [{disabled!r}]\n")
        monkeypatch.chdir(tmp_path)
        return path

    return make


def test_targets_name_a_file_with_a_dash(local: Callable[..., Path]) -> None:
    path = local("my-own-nets")
    path.write_text(
        "import zoo\ndef net(): ...\n@zoo.hookimpl\ndef zoo_architectures():\n    return ["
        "zoo.ArchitectureSpec(name='net', target='my_own_nets:net', task='classification', summary='A net')]"
    )
    assert Registry.discover().architecture("my-own-nets/net").load().__name__ == "net"


def test_a_disabled_one_file_plugin_is_not_imported(local: Callable[..., Path]) -> None:
    local("my_disabled_nets", "tiny-net", disabled="my-disabled-nets")
    registry = Registry.discover()
    assert not registry.has("architecture", "tiny-net")
    (plugin,) = [plugin for plugin in registry.plugins if plugin.name == "my-disabled-nets"]
    assert (plugin.status, plugin.output) == ("disabled", "")


def test_files_take_the_place_of_the_variable(local: Callable[..., Path]) -> None:
    path = local("my_unread_nets", "tiny-net")
    assert not Registry.discover(files=()).has("architecture", "tiny-net")
    assert Registry.discover(files=[path]).plugin_files == [str(path)]


def test_a_one_file_plugin_cannot_take_the_name_of_a_plugin_of_zoo(local: Callable[..., Path]) -> None:
    local("charrnn", "lstm", "mine")
    registry = Registry.discover()
    assert registry.architecture("lstm").plugin.distribution == OURS
    (failed,) = registry.failures
    assert failed.cause == f"the name 'charrnn' is already taken by {OURS}"
    assert not registry.has("architecture", "mine")


def implementing(function: Callable[..., Any]) -> Callable[[], object]:
    """Return an importer of a plugin whose only hook is `function`."""
    return lambda: SimpleNamespace(**{function.__name__: hookimpl(function)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unchecked(ArchitectureSpec):
    """A spec that does not check itself."""

    def __post_init__(self) -> None:
        """Check nothing."""


def test_an_interruption_is_passed_on() -> None:
    def zoo_architectures() -> list[ArchitectureSpec]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plugins.load("acme", implementing(zoo_architectures), where="acme.plugin")


def test_a_subclass_of_a_spec_is_refused() -> None:
    made = Unchecked(name="net", target="m:N", task="classification", summary="red \x1b[31m")

    def zoo_architectures() -> list[ArchitectureSpec]:
        return [made]

    loaded = plugins.load("acme", implementing(zoo_architectures), where="acme.plugin")
    assert loaded.cause == (
        "PluginError: zoo_architectures must return only ArchitectureSpec objects (got a Unchecked)"
    )


def test_a_name_that_no_plugin_can_have_is_refused() -> None:
    cause = plugins.load("My Plugin", SimpleNamespace, where="acme.plugin").cause
    assert cause.startswith("OptionError: the plugin name must be lowercase letters")


# Tasks and groups of training options


@dataclasses.dataclass(frozen=True)
class Focal:
    """Fields of a loss.

    Attributes:
        gamma: focus on what is hard.
    """

    gamma: float = 0.0


def test_a_task_may_share_the_architectures_of_another() -> None:
    tagging = dataclasses.replace(
        CLASSIFICATION, name="tagging", groups=(), architectures_of="classification"
    )
    tags = ("dataset", DatasetSpec(name="tags", target="m:D", task="tagging", summary=""))
    smooth = (
        "architecture",
        dataclasses.replace(net("smooth")[1], training={"lr": 0.5, "label_smoothing": 0.1}),
    )
    registry = Registry([*Registry.discover().plugins, plugin("acme", ("task", tagging), tags, smooth, DATA)])
    made = registry.architecture("smooth")
    assert registry.shared_task(made, registry.dataset("tags")).name == "tagging"
    config = registry.training_config(Recipe(architecture="smooth", dataset="tags"))
    assert config.lr == 0.5
    assert "label_smoothing" not in config.to_dict(), "which tagging does not have"
    with pytest.raises(OptionError, match="label_smoothing does not apply to tagging, the task of acme/tags"):
        registry.training_config(
            Recipe(architecture="smooth", dataset="tags", train={"label_smoothing": 0.1})
        )
    with pytest.raises(
        SpecError, match="charrnn/lstm is for language-modeling, but acme/tags is for tagging"
    ):
        registry.shared_task(registry.architecture("charrnn/lstm"), registry.dataset("tags"))


def test_a_task_is_shown_with_the_group_of_fields_that_has_its_name() -> None:
    task = dataclasses.replace(CLASSIFICATION, name="tagging", groups=("tagging",))
    group = FieldsSpec(name="tagging", summary="A loss", fields=Focal)
    shown = describe("acme/tagging", Registry([plugin("acme", ("task", task), ("group", group))]))
    assert (shown["kind"], shown["fields"]) == ("task", {"gamma": 0.0})


def test_a_task_of_an_unknown_group_fails_with_what_is_for_it() -> None:
    task = dataclasses.replace(CLASSIFICATION, groups=("imagse",))
    group = ("group", FieldsSpec(name="images", summary="", fields=Focal))
    registry = Registry([plugin("acme", ("task", task), group, net("gru"))])
    assert {entry.kind: registry.problem(entry) for entry in registry.failed_entries} == {
        "task": "unknown group of training options 'imagse'; did you mean 'images'?",
        "architecture": "unknown task 'classification'",
    }


def test_many_entries_with_one_problem_are_one_line() -> None:
    registry = Registry([plugin("acme", net("a"), net("b"), net("c"))])
    (line,) = registry.problems()
    start = "3 entries of acme, such as architecture acme/a, cannot be used: unknown task 'classification'"
    assert line == start


def test_looking_for_what_cannot_be_used_takes_time_in_proportion_to_the_plugins() -> None:
    def operations(count: int) -> int:
        made = []
        for number in range(count):
            name = f"many{number}"
            owner = dataclasses.make_dataclass(
                "Fields", [(f"field_{number}", float, dataclasses.field(default=0.0))], frozen=True
            )
            train = {"lr": 0.1, f"field_{number}": 0.5}
            recipes = {f"{name}/r": Recipe(architecture=f"{name}/net", dataset="lstm", train=train)}
            group = ("group", FieldsSpec(name=f"group-{number}", summary="", fields=owner))
            made.append(plugin(name, net("net"), group, recipes=recipes))
        registry, executed = registry_of(made), 0

        def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
            nonlocal executed
            frame.f_trace_opcodes = True
            executed += event == "opcode"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert not [line for line in registry.unusable() if "lr" in line or "field_" in line]
        finally:
            sys.settrace(before)
        return executed

    operations(1)  # what is kept from the first time on
    assert operations(80) < 2.5 * operations(40)


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        (
            {"augmen": ["flip"]},
            "its training options: the training configuration has no option 'augmen'; did you mean 'augment'",
        ),
        ({"optimizer": "sdg", "schedule": "cosine"}, "unknown optimizer 'sdg'; did you mean 'sgd'?"),
        ({"augment": ["flop", "flip"]}, "unknown augmentation 'flop'; did you mean 'flip'?"),
    ],
)
def test_an_unknown_name_in_an_architecture_s_training_fails_the_entry(
    training: dict[str, Any], problem: str
) -> None:
    spec = dataclasses.replace(net("gru")[1], training=training)
    registry = Registry([*Registry.discover().plugins, plugin("acme", ("architecture", spec))])
    (failed,) = registry.failed_entries
    assert problem in registry.problem(failed)


def test_the_methods_of_an_architecture_s_training_can_have_full_names() -> None:
    spec = dataclasses.replace(net("gru")[1], training={"optimizer": "zoo/sgd", "augment": ["images/flip"]})
    registry = Registry([*Registry.discover().plugins, plugin("acme", ("architecture", spec))])
    options = registry.training_config(Recipe(architecture="acme/gru", dataset="shapes")).to_dict()
    assert (options["optimizer"], options["augment"]) == ("sgd", ["flip"])


@pytest.mark.parametrize("name", ["lr", "seed", "device", "session", "no_compile", "no_gamma"])
def test_a_field_cannot_be_called_like_another_option_or_what_switches_one_off(name: str) -> None:
    fields = dataclasses.make_dataclass("F", [(name, bool, False)], frozen=True)
    with pytest.raises(SpecError, match=f"group loss: a training option cannot be called '{name}'"):
        FieldsSpec(name="loss", summary="", fields=fields)


@pytest.mark.parametrize(
    ("type_", "default", "why"),
    [
        (int, "nine", r"gamma must be an integer \(got 'nine'\)"),
        (str | Path, "x", "Type unions containing a custom type"),
        (Annotated[int | None, Meta(ge=1)], 3, "Can only set `ge` on a numeric type"),
    ],
)
def test_a_field_has_a_type_that_an_option_can_have(type_: Any, default: object, why: str) -> None:
    fields = dataclasses.make_dataclass("F", [("gamma", type_, default)], frozen=True)
    with pytest.raises(SpecError, match=f"training option 'gamma': {why}"):
        FieldsSpec(name="loss", summary="", fields=fields)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("augmentation", "it names entries, so a field views_options must set their options"),
        ("augmentations", "names must be one of optimizer, schedule, augmentation, metric"),
    ],
)
def test_a_field_that_names_entries_has_a_field_for_their_options(names: str, why: str) -> None:
    views = option((), "names of views.", names=names)
    fields = dataclasses.make_dataclass("F", [("views", tuple[str, ...], views)], frozen=True)
    with pytest.raises(SpecError, match=f"training option 'views': {why}"):
        FieldsSpec(name="loss", summary="", fields=fields)


@pytest.mark.parametrize("fields", [dict, dataclasses.make_dataclass("Thawed", [("gamma", float, 0.0)])])
def test_a_group_is_a_frozen_dataclass(fields: type) -> None:
    with pytest.raises(SpecError, match="a group of training options must be a frozen dataclass"):
        FieldsSpec(name="loss", summary="", fields=fields)


SECOND = """
from dataclasses import dataclass
from zoo import FieldsSpec, Recipe, TaskSpec, hookimpl

@dataclass(frozen=True)
class Fields:
    {field}: float = 0.0

@hookimpl
def zoo_recipes():
    return {{"mine": Recipe(architecture="a", dataset="d")}}

@hookimpl
def zoo_training_options():
    return [FieldsSpec(name="{group}", summary="", fields=Fields)]

@hookimpl
def zoo_tasks():
    return [TaskSpec(name="{task}", target="m:T", summary="", dims={{}}, processor="m:P", tiny="m:D")]
"""


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        ({"task": "classification"}, "the task classification is already provided by images"),
        ({"group": "images"}, "the group images is already provided by images"),
        ({"field": "augment"}, "the option augment of zoo train is already provided by images"),
        (
            {"field": "epochs"},
            "a training option cannot be called 'epochs', which is a field that every task has",
        ),
    ],
)
def test_a_task_a_group_and_a_field_have_one_owner(
    names: dict[str, str], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SECOND.format(**{"field": "gamma", "group": "loss", "task": "ranking", **names})
    path = tmp_path / f"second_{'_'.join(names.values()).replace('-', '_')}.py"
    path.write_text(text)
    file = PluginFile.read(path)
    together = plugins.discover(files=[file])[-1]
    alone = plugins.discover(only=[together.name], files=[file])[-1]  # as `zoo check FILE` loads it
    for loaded in (together, registry_beside(alone).plugins[-1]):
        assert loaded.status == "failed"
        assert cause in loaded.cause
        assert loaded.provides == ()

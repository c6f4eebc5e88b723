"""`zoo push` and `hf:owner/name`, with the true client and a server on this machine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import zoo
from tests.fake_hub import Answer, FakeHub, Repository, connected, serving_hub
from tests.shell import zoo as shell
from zoo.errors import DataError, OptionError, OutputError, SpecError, UnknownName, WeightsError, ZooError
from zoo.files.canonical import canonical_json
from zoo.files.cards import KEY, read_card, read_weights
from zoo.files.container import write_container
from zoo.files.hashes import sha256_of
from zoo.registry.registry import Registry
from zoo.tools.share.hub_files import is_unedited

pytest.importorskip("huggingface_hub")
NAME, REPOSITORY = "hf:me/shapes", "me/shapes"
PLUGIN = """
from zoo import DatasetSpec, hookimpl

@hookimpl
def zoo_datasets():
    about = {"summary": "Shapes", "source": "see /srv/photos/cats"}
    return [DatasetSpec(name="ours", target="zoo_images.shapes:shapes", task="classification", **about)]
"""
FILES = {"model.safetensors", "README.md", "config.json"}


@pytest.fixture(params=["regular", "lfs"])
def way(request: pytest.FixtureRequest) -> str:
    """Return how the server takes files."""
    return request.param


@pytest.fixture
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Return a server without models, which the client of this process uses, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    lfs = "way" in request.fixturenames and request.getfixturevalue("way") == "lfs"
    with serving_hub(lfs=lfs) as hub, connected(hub, tmp_path / "hf", monkeypatch):
        yield hub


@pytest.fixture
def run(net_file: Path, tmp_path: Path) -> Path:
    """Return a finished run."""
    return shutil.copytree(net_file.parent, tmp_path / "runs" / "net")


@pytest.fixture(scope="module")
def pushed(net_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a model that zoo pushed."""
    with serving_hub() as hub, connected(hub, tmp_path_factory.mktemp("hf")):
        push(net_file.parent)
        return {name: hub.repositories[REPOSITORY].files()[name] for name in FILES}


@pytest.fixture
def model(hub: FakeHub, pushed: dict[str, bytes]) -> Repository:
    """Return a model on the server that zoo pushed."""
    hub.repositories[REPOSITORY] = repository = Repository()
    repository.commit(pushed)
    return repository


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure nothing, which takes longer than all else; the fixture `pushed` does it once."""
    request.getfixturevalue("pushed")
    monkeypatch.setattr("zoo.tools.share.measured_fields.add_measured", lambda *_, **__: None)
    monkeypatch.setattr("zoo.tools.share.publish._intervals", lambda model: model.card.intervals)


def push(weights: Path, to: str = NAME, **options: Any) -> dict[str, Any]:
    return zoo.push(weights, to, progress=False, **options)


def load(name: str = NAME) -> zoo.Model:
    return zoo.load(name, progress=False)


def change(run: Path) -> None:
    """Give the best weights of a run other bytes, and its model another card."""
    card, content = read_weights(run / "best.safetensors")
    card = structs.replace(card, environment=structs.replace(card.environment, seconds=777.0))
    write_container(
        run / "best.safetensors", [*content.tensors.values()], {KEY: canonical_json(card.to_dict())}
    )


def test_a_pushed_run_is_a_model_that_loads(hub: FakeHub, way: str, run: Path) -> None:
    best = run / "best.safetensors"
    made = push(run, license="MIT")
    files = hub.repositories[REPOSITORY].files()
    assert files.keys() > FILES
    assert files["model.safetensors"] == best.read_bytes()
    assert (made["commit"], made["new"]) == (hub.repositories[REPOSITORY].heads["main"], True)
    assert {row["name"]: row["bytes"] for row in made["files"]} == {name: len(files[name]) for name in FILES}
    assert json.loads(files["config.json"])["sha256"] == sha256_of(best)
    assert [request for request in hub.requests if "/commit/" in request] == [
        f"POST /api/models/{REPOSITORY}/commit/main"
    ]
    assert any("lfs/objects" in request for request in hub.requests) == (way == "lfs")
    loaded = load()
    assert loaded.card == read_card(best)
    assert loaded.path.parent.name == made["commit"]


def test_the_card_of_a_model_on_the_hub_has_the_license_of_its_push(hub: FakeHub, run: Path) -> None:
    push(run)
    assert "license" not in zoo.card(NAME, measure=False, progress=False).fields
    push(run, license="MIT")
    assert zoo.card(NAME, measure=False, progress=False).fields["license"] == "MIT"


def test_the_readme_has_the_card_and_what_the_hub_reads(run: Path, pushed: dict[str, bytes]) -> None:
    from huggingface_hub import ModelCard, ModelCardData

    text = pushed["README.md"].decode()
    head = ModelCard(text).data
    assert isinstance(head, ModelCardData)
    data = head.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("zoo", "image-classification")
    assert (data["datasets"], data["tags"]) == (["shapes"], ["zoo", "resnet-lite", "classification"])
    found = {(each.dataset_split, each.metric_type): each.metric_value for each in head.eval_results or []}
    metrics = read_card(run / "best.safetensors").metrics
    assert found == {(split, key): metrics[split][key] for split in metrics for key in metrics[split]}
    described = zoo.card(run, name=NAME, measure=False, progress=False).markdown()
    sections = [line for line in described.splitlines() if line.startswith("## ")]
    assert "## Training" in sections
    assert [line for line in text.splitlines() if line in sections] == sections
    assert {"## Confusion", "## Metrics by class"} < {*text.splitlines()}  # were measured
    assert text.count(" to ") > 2
    assert str(run.parent) not in text
    assert str(Path.home()) not in text


def test_the_three_lines_of_the_readme_work(
    model: Repository, pushed: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save("image.png")
    code = pushed["README.md"].decode().partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) == 3
    exec(compile(code, "<README.md>", "exec"), {})
    assert "image.png" in capsys.readouterr().out


def test_a_language_model_is_used_by_sampling(hub: FakeHub, tmp_path: Path) -> None:
    run = zoo.train(
        *("lstm", "stdlib"),
        model={"hidden_size": 8, "embedding_dim": 4, "num_layers": 1},
        data={"train_share": 0.01},
        epochs=1,
        run=tmp_path / "text",
        progress=False,
    )
    push(run.directory)
    text = hub.repositories[REPOSITORY].files()["README.md"].decode()
    assert "pipeline_tag: text-generation" in text
    assert f'model = zoo.load("{NAME}")\nprint(model.sample())\n' in text


def test_an_unchanged_run_makes_no_commit_and_a_changed_one_follows(
    hub: FakeHub, way: str, run: Path
) -> None:
    first = push(run)
    again = push(run)
    assert (again["commit"], again["new"]) == (first["commit"], False)
    change(run)
    second = push(run)
    assert second["new"]
    files = hub.repositories[REPOSITORY].files()
    assert "12:57" in files["README.md"].decode()
    assert sha256_of(load().path) == sha256_of(run / "best.safetensors")
    assert load(f"{NAME}@{first['commit']}").card.environment.seconds != 777.0


def test_a_readme_that_was_edited_stays(hub: FakeHub, run: Path, pushed: dict[str, bytes]) -> None:
    push(run)
    edited = pushed["README.md"].replace(b"## Limits", b"## Limits, as I see them")
    hub.repositories[REPOSITORY].commit({"README.md": edited})
    change(run)
    with pytest.warns(zoo.ZooWarning, match=r"README\.md was edited on the Hub and stays as it is"):
        push(run)
    files = hub.repositories[REPOSITORY].files()
    assert files["README.md"] == edited
    assert files["model.safetensors"] == (run / "best.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("edit", "unedited"),
    [
        (lambda text: text, True),
        (lambda text: f"{text}more\n", False),
        (lambda text: f" {text}", False),
        (lambda text: text.replace("\n", "\r\n"), False),
        (lambda text: text.partition("<!--")[0], False),
        (lambda text: "", False),
    ],
    ids=["same", "appended", "prepended", "line ends", "without its mark", "empty"],
)
def test_an_edit_is_noticed(edit: Any, unedited: bool, pushed: dict[str, bytes]) -> None:
    assert is_unedited(edit(pushed["README.md"].decode())) is unedited


def test_a_pull_request_leaves_the_model_as_it_is(hub: FakeHub, model: Repository, run: Path) -> None:
    before = model.heads["main"]
    change(run)
    made = push(run, pr=True)
    assert made["pull_request"] == f"{hub.address}/{REPOSITORY}/discussions/1"
    assert model.heads["main"] == before
    assert load(f"{NAME}@refs/pr/1").card.environment.seconds == 777.0
    with pytest.raises(DataError, match="there is no such model"):
        push(run, "hf:me/other", pr=True)
    assert hub.repositories.keys() == {REPOSITORY}


def test_a_tag_names_a_commit_forever(hub: FakeHub, run: Path, way: str) -> None:
    first = push(run, tag="v1")
    assert push(run, tag="v1")["new"] is False
    change(run)
    with pytest.raises(OutputError, match=f"the tag v1 names another commit, {first['commit'][:12]}"):
        push(run, tag="v1")
    assert hub.repositories[REPOSITORY].heads["main"] == first["commit"], "nothing was pushed"
    push(run, tag="v2")
    assert load(f"{NAME}@v1").path.parent.name == first["commit"]
    assert load(f"{NAME}@v2").card.environment.seconds == 777.0


def test_private_weights_are_never_pushed_where_all_can_read_them(hub: FakeHub, run: Path) -> None:
    push(run, "hf:me/secret", private=True)
    assert hub.repositories["me/secret"].private
    push(run)
    before = hub.repositories[REPOSITORY].heads["main"]
    change(run)
    with pytest.raises(OutputError, match="exists and is public"):
        push(run, private=True)
    assert hub.repositories[REPOSITORY].heads["main"] == before


def test_a_dry_run_needs_neither_network_nor_token(
    hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    planned = push(run, dry_run=True)
    assert {row["name"] for row in planned["files"]} == FILES
    assert not hub.requests


@pytest.mark.parametrize("variable", ["ZOO_OFFLINE", "HF_HUB_OFFLINE"])
def test_without_network_nothing_is_measured(
    hub: FakeHub, run: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1" if variable == "ZOO_OFFLINE" else "")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", variable == "HF_HUB_OFFLINE")
    monkeypatch.setattr("zoo.tools.share.hub_push.publishable", None)
    with pytest.raises(OptionError, match="cannot be pushed: the network is disabled"):
        push(run)


def test_a_push_prints_its_tag(hub: FakeHub, run: Path) -> None:
    done = shell("push", run, NAME, "--license", "MIT")
    assert "tagged" not in done.stdout
    done = shell("push", run, NAME, "--license", "MIT", "--tag", "v1")
    assert re.search(r"^nothing has changed since commit \w{12}, tagged v1: http", done.stdout, re.M)


def test_somebody_else_pushes_in_between(hub: FakeHub, model: Repository, run: Path) -> None:
    change(run)
    hub.meanwhile = lambda repository: repository.commit({"notes.txt": b"mine"})
    with pytest.raises(DataError, match="somebody else pushed at the same moment") as caught:
        push(run)
    assert caught.value.hint == "push again"
    hub.meanwhile = lambda repository: None
    push(run)
    assert model.files()["notes.txt"] == b"mine"
    assert load().card.environment.seconds == 777.0


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("me/shapes", {}, "the repository to push to must be hf:OWNER/NAME"),
        ("hf:shapes", {}, "hf:shapes cannot be a model on the Hugging Face Hub"),
        ("hf:me/shapes@v1", {}, "the repository to push to must be hf:OWNER/NAME"),
        (NAME, {"pr": True, "tag": "v1"}, "pr cannot be combined with tag or private"),
        (NAME, {"tag": "v 1"}, r"^tag must be letters, digits and - \. _ / without \.\. \(got 'v 1'\)"),
        (NAME, {"tag": "../v1"}, "^tag must be"),
        (NAME, {"license": "nonsense"}, '"license" must be one of'),
        (NAME, {"license": "/home/ada/MIT"}, "license contains a path"),
        ("hf:me/turing-laptop", {}, "name contains the name of this machine"),
    ],
)
def test_arguments_are_checked(
    hub: FakeHub, to: str, options: dict[str, Any], message: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "turing-laptop")
    with pytest.raises(ZooError, match=message):
        push(run, to, **options)
    assert not [request for request in hub.requests if "/commit/" in request]


@pytest.mark.parametrize("name", ["shapes-v1.5", "_shapes"])
def test_a_model_may_have_a_name_that_is_not_an_id(hub: FakeHub, run: Path, name: str) -> None:
    push(run, f"hf:me/{name}")
    assert zoo.load(f"hf:me/{name}", progress=False).card


def test_what_cannot_be_published_cannot_be_pushed(hub: FakeHub, run: Path) -> None:
    (run / "model.safetensors").unlink()
    shutil.copy(run / "best.safetensors", run / "checkpoint.safetensors")
    (run / "best.safetensors").rename(run / "kept.safetensors")
    card, content = read_weights(run / "kept.safetensors")
    with pytest.raises(WeightsError, match="is not finished, so it cannot be published"):
        push(run)
    base = {"architecture": card.architecture, "dataset": "x/y", "sha256": "0" * 64}
    tuned = structs.replace(card, base_model=base)
    path = run / "tuned.safetensors"
    write_container(path, [*content.tensors.values()], {KEY: canonical_json(tuned.to_dict())})
    with pytest.raises(WeightsError, match="fine-tuned from weights that neither zoo nor a plugin publishes"):
        push(path)
    assert not hub.requests


def test_what_a_plugin_says_is_not_pushed_if_it_is_private(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    (tmp_path / "ours_pushed.py").write_text(PLUGIN)
    registry, best = Registry.discover(files=[tmp_path / "ours_pushed.py"]), run / "best.safetensors"
    card, content = read_weights(best)
    card = structs.replace(card, dataset=structs.replace(card.dataset, name=registry.dataset("ours").name))
    write_container(best, [*content.tensors.values()], {KEY: canonical_json(card.to_dict())})
    with pytest.raises(
        WeightsError, match=f"the model card of {NAME} cannot be .* dataset.source contains a path"
    ):
        push(run, registry=registry)
    assert not hub.requests


def test_without_a_token_nothing_is_measured(
    hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("zoo.tools.share.publish._intervals", None)
    with pytest.raises(OptionError, match="there is no token for the Hub"):
        push(run)
    assert not hub.requests


def test_a_name_of_the_hub_is_weights_in_every_command(model: Repository) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save("image.png")
    for words in (
        ["predict", NAME, "image.png"],
        ["eval", NAME],
        ["inspect", f"{NAME}@main"],
        ["verify", NAME],
        ["train", "resnet-lite", "shapes", "--from", NAME, "--dry-run"],
    ):
        done = shell(*words)
        assert done.returncode == 0, (words, done.stderr)
    described = zoo.card(NAME, measure=False, progress=False)
    assert described.fields["hub_commit"] == model.heads["main"]
    assert f"| commit on the Hugging Face Hub | {model.heads['main']} |" in described.markdown()
    assert "`zoo inspect` describes a model on the Hub" in shell("show", NAME).stderr


def test_weights_of_the_hub_are_published_in_a_folder_under_their_name(model: Repository) -> None:
    made = zoo.publish(NAME, "team", progress=False)
    assert made["weights"][0]["id"] == "shapes"


def test_a_file_of_that_name_stays_a_file(model: Repository, run: Path) -> None:
    place = Path(NAME)
    place.parent.mkdir()
    shutil.copy(run / "best.safetensors", place)
    with pytest.warns(zoo.ZooWarning, match="is a file in the current folder"):
        assert load().path == place


WRONG = ("hf:shapes", "hf:", "hf:a/b/c", "hf:a/b@", "hf:a/b@@c", "hf:a/../b")
# The client stores a revision in a file of that name
OUTSIDE = ("hf:a/b@../../x", "hf:a/b@refs/../../x", "hf:a/b@/tmp/x", "hf:a/b@-x")


@pytest.mark.parametrize("name", [*WRONG, *OUTSIDE])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="cannot be a model on the Hugging Face Hub") as caught:
        load(name)
    assert "expected hf:OWNER/NAME" in str(caught.value.hint)


def test_a_name_that_the_client_refuses_is_an_error_in_a_sentence(hub: FakeHub) -> None:
    with pytest.raises(DataError, match=r"hf:a--b/\.c: ") as error:
        load("hf:a--b/.c")
    assert error.value.hint is None, "trying again does not help"


def test_a_token_that_a_server_repeats_is_not_shown(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"X-Error-Message": "unknown token hf_of_a_test"}
    monkeypatch.setattr(FakeHub, "answer", lambda *_: Answer(400, b"{}", said))
    with pytest.raises(DataError, match=r"refused the request: unknown token \*\*\*$"):
        load("hf:me/shapes")


def test_a_flipped_bit_is_refused_and_downloaded_again(hub: FakeHub, way: str, run: Path) -> None:
    push(run)
    hub.fault = lambda method, path: "flip" if method == "GET" and path.endswith(".safetensors") else ""
    with pytest.raises(DataError, match=r"model\.safetensors is damaged: its checksum is not") as caught:
        load()
    assert "try again to download it again" in str(caught.value.hint)
    hub.fault = lambda method, path: ""
    blob = load().path.resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        load()
    assert load().path.read_bytes() == (run / "best.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("403", "does not allow that with this token"),
        ("429", "received too many requests"),
        ("503", r"is not available \(status 503\)"),
        ("drop", "cannot be reached, or the connection was lost"),
        ("stall", "did not respond in time"),
        ("truncate", "the connection was lost"),
        ("418", "refused the request: status 418"),
    ],
)
def test_a_fault_of_the_server_is_an_error_in_a_sentence(
    hub: FakeHub, model: Repository, fault: str, message: str
) -> None:
    hub.fault = lambda method, path: fault
    with pytest.raises(DataError, match=f"^{NAME}: .*{message}") as caught:
        load()
    assert "\n" not in str(caught.value)
    hub.fault = lambda method, path: ""
    load()


def test_a_server_that_does_not_answer_a_commit_is_not_waited_for(
    hub: FakeHub, model: Repository, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.registry.hub_client._SECONDS", 0.3)
    change(run)
    hub.fault = lambda method, path: "stall" if "/commit/" in path else ""
    with pytest.raises(DataError, match="did not respond in time"):
        push(run)
    load()


def test_what_does_not_exist_or_may_not_be_read_is_explained(hub: FakeHub, model: Repository) -> None:
    with pytest.raises(DataError, match="the model has no such revision"):
        load(f"{NAME}@v7")
    with pytest.raises(DataError, match=r"there is no such model on .*, or it is private"):
        load("hf:me/other")
    model.gated = True
    with pytest.raises(DataError, match="its owner must give you access") as caught:
        load()
    assert f"{hub.address}/{REPOSITORY}, then `hf auth login`" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"config.json": None}, r"it has no config\.json"),
        ({"config.json": b'{"model_type": "bert"}'}, r"its config\.json does not name the library zoo"),
        ({"config.json": b"[" * 9_999}, r"its config\.json does not name the library zoo"),
        ({"model.safetensors": None}, r"it has no model\.safetensors"),
    ],
    ids=["no config", "other library", "nonsense", "no weights"],
)
def test_a_model_of_others_is_refused_with_what_is_missing(
    hub: FakeHub, model: Repository, files: dict[str, bytes | None], why: str
) -> None:
    kept = {**model.files(), **files}
    model.commits[model.oid()] = {name: content for name, content in kept.items() if content is not None}
    with pytest.raises(WeightsError, match=f"was not pushed by zoo: {why}") as caught:
        load()
    assert "`zoo import FILE --architecture NAME`" in str(caught.value.hint)
    if "config.json" in files:
        assert not [request for request in hub.requests if "model.safetensors" in request]


def test_weights_that_somebody_replaced_alone_are_refused(model: Repository, run: Path) -> None:
    change(run)
    model.commit({"model.safetensors": (run / "best.safetensors").read_bytes()})
    with pytest.raises(DataError, match=r"does not have the sha256 that its config\.json states"):
        load()


def test_both_files_are_of_one_commit_if_somebody_pushes_in_between(
    hub: FakeHub, model: Repository, run: Path
) -> None:
    before = model.heads["main"]
    change(run)
    newer = {"model.safetensors": (run / "best.safetensors").read_bytes()}

    def meanwhile(method: str, path: str) -> str:
        if path.endswith("model.safetensors") and model.heads["main"] == before:
            model.commit(newer)
        return ""

    hub.fault = meanwhile
    assert load().path.parent.name == before
    assert model.heads["main"] != before


def test_a_server_without_checksums_is_refused(
    hub: FakeHub, model: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHub, "etag", lambda hub, path, content: f"v-{len(content)}")
    with pytest.raises(DataError, match=r"no checksum of config\.json"):
        load()


def test_a_downloaded_model_needs_no_network(
    hub: FakeHub, model: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load().path
    hub.requests.clear()
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert load().path == before
    with pytest.raises(DataError, match="the network is disabled"):
        load("hf:me/other")
    assert not hub.requests


def test_a_missing_package_is_named_with_its_extra(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(SpecError, match="hf:me/shapes requires huggingface_hub") as caught:
        load()
    assert caught.value.hint == '`pip install "zoo-registry[hub]"` installs it'


def test_timm_reads_its_own_models_beside_it(hub: FakeHub, model: Repository, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    net = timm.create_model("test_resnet", num_classes=3)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    config = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": {"tag": "x"}}
    files = {"config.json": json.dumps(config).encode()}
    files["model.safetensors"] = (tmp_path / "net.safetensors").read_bytes()
    hub.repositories["me/net"] = Repository()
    hub.repositories["me/net"].commit(files)
    loaded = timm.create_model("hf-hub:me/net", pretrained=True)
    theirs = loaded.state_dict()
    assert all(theirs[name].equal(tensor) for name, tensor in net.state_dict().items())
    load()
    with pytest.raises(WeightsError, match="does not name the library zoo"):
        load("hf:me/net")


def test_the_command_prints_what_it_pushed(hub: FakeHub, run: Path) -> None:
    done = shell("push", run, NAME, "--license", "MIT")
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in done.stdout
    assert f"pushed commit {hub.repositories[REPOSITORY].heads['main'][:12]}" in done.stdout
    again = shell("push", run, NAME, "--license", "MIT", "--json")
    assert json.loads(again.stdout)["new"] is False


def test_a_recipe_cannot_be_found_on_the_hub(hub: FakeHub) -> None:
    from zoo.runs.resolving import named_recipe

    with pytest.raises(UnknownName) as caught:
        named_recipe(NAME, None, zoo.Registry.discover())
    assert "`zoo reproduce` trains it again" in str(caught.value.hint)

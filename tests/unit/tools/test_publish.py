"""`zoo publish`: what a zoo's folder holds, what is refused, and that nothing tells about this machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import zoo
from tests.keys import Keys
from tests.shell import zoo as shell
from zoo.errors import DataError, OptionError, OutputError, WeightsError, ZooError
from zoo.files import signatures
from zoo.files.atomic import atomic_write
from zoo.files.canonical import canonical_json
from zoo.files.cards import KEY, Card, read_card, read_weights
from zoo.files.container import write_container
from zoo.files.hashes import sha256_of
from zoo.registry.registry import Registry
from zoo.registry.zoo_index import ZooIndex, read_index, signature_file
from zoo.runs.lock import owned
from zoo.tools.share.public_recipe import public_recipe, refuse_private

QUIET: dict[str, Any] = {"progress": False}
# In the tables of a zoo
ARCHITECTURE = "convnet/resnet-lite"
HOST, USER, HOME = "turing-laptop", "ada", "/home/ada"


@pytest.fixture
def run(net_file: Path, tmp_path: Path) -> Path:
    """Return a finished run."""
    return shutil.copytree(net_file.parent, tmp_path / "runs" / "net")


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return tmp_path / "team"


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this machine and its user names that no published file contains by chance."""
    monkeypatch.setattr("socket.gethostname", lambda: HOST)
    monkeypatch.setattr("getpass.getuser", lambda: USER)
    monkeypatch.setenv("HOME", HOME)


def rewritten(path: Path, **changes: Any) -> Card:
    """Change the card of a file, which stays intact."""
    card, content = read_weights(path)
    card = structs.replace(card, **changes)
    write_container(path, [*content.tensors.values()], {KEY: canonical_json(card.to_dict())})
    return card


def other(run: Path, *, seconds: float) -> Path:
    """Return a run beside another, with other bytes."""
    path = shutil.copytree(run, run.with_name(f"{run.name}-{seconds:.0f}"))
    environment = structs.replace(read_card(path / "best.safetensors").environment, seconds=seconds)
    rewritten(path / "best.safetensors", environment=environment)
    return path


def publish(*arguments: Any, **options: Any) -> dict[str, Any]:
    return zoo.publish(*arguments, progress=False, **options)


def index(team: Path) -> ZooIndex:
    return read_index((team / "registry.toml").read_bytes(), team / "registry.toml")


def require_whole(team: Path) -> None:
    """Check the sums of a zoo without zoo, and that they include all that the index names."""
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=team, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = {one.spec.file for _, one in index(team).all() if not one.spec.withdrawn}
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == named | {"registry.toml"}


def test_a_published_run_is_listed_with_its_proof(run: Path, team: Path) -> None:
    result = publish([run], team, license="CC0-1.0")
    best = run / "best.safetensors"
    sha256, size = sha256_of(best), best.stat().st_size
    row = {"id": "net", "sha256": sha256, "bytes": size, "license": "CC0-1.0", "new": True}
    assert result == {"folder": str(team), "serial": 1, "weights": [row], "signature": None}
    found = index(team).find("net")
    assert (team / found.spec.file).read_bytes() == best.read_bytes()
    assert found.spec.metrics == read_card(best).metrics
    low, high = found.spec.intervals["val"]["accuracy"]
    assert low < found.spec.metrics["val"]["accuracy"] < high
    shown = f"val accuracy {100 * found.spec.metrics['val']['accuracy']:.2f}% ({100 * low:.2f} to "
    assert shown in (team / "README.md").read_text()
    assert (found.spec.license, found.spec.data_license) == ("CC0-1.0", "MIT")
    assert found.spec.params == zoo.load(best, progress=False).num_parameters
    assert found.recipe.data == {"train_size": 64, "val_size": 16, "test_size": 16}
    assert {path.name for path in team.iterdir()} == {
        *("registry.toml", "weights", "cards", "README.md", "config.json", "SHA256SUMS", ".lock"),
    }
    assert json.loads((team / "config.json").read_text()) == {"library_name": "zoo", "index": "registry.toml"}
    assert f"| `{sha256}` |" in (team / "README.md").read_text()
    require_whole(team)


def test_other_bytes_become_the_newest_version_and_the_old_ones_stay(run: Path, team: Path) -> None:
    publish([run], team)
    before = {path: path.read_bytes() for path in team.glob("weights/*")}
    second = publish(other(run, seconds=7.0), team, name="net")
    assert second["serial"] == 2
    assert {path: path.read_bytes() for path in before} == before
    newest, oldest = index(team).versions["net"]
    assert newest.spec.sha256 == second["weights"][0]["sha256"]
    assert oldest.spec.sha256 == sha256_of(run / "best.safetensors")
    again = publish([run], team)
    assert (again["serial"], again["weights"][0]["new"]) == (2, False)
    assert index(team).versions["net"][0] == newest
    require_whole(team)


def test_a_dry_run_writes_nothing(run: Path, team: Path) -> None:
    planned = publish([run], team, dry_run=True)
    assert not team.exists()
    assert publish([run], team) == planned
    before = {path: path.read_bytes() for path in team.rglob("*") if path.is_file()}
    publish([other(run, seconds=7.0)], team, name="net", dry_run=True)
    publish([], team, withdraw="net", reason="wrong", dry_run=True)
    assert {path: path.read_bytes() for path in team.rglob("*") if path.is_file()} == before


def test_a_withdrawn_version_keeps_its_entry_and_cannot_come_back(run: Path, team: Path) -> None:
    publish([run], team)
    withdrawn = publish([], team, withdraw="net", reason="trained | on test <images>")
    assert withdrawn["weights"][0]["withdrawn"] == "trained | on test <images>"
    assert r"withdrawn: trained \| on test \<images\>" in (team / "README.md").read_text()
    require_whole(team)
    with pytest.raises(WeightsError, match="was withdrawn: trained"):
        publish([run], team)
    with pytest.raises(WeightsError, match="was withdrawn before: trained"):
        publish([], team, withdraw="net", reason="again")


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("nett", "x", "the zoo has no weights 'nett'; did you mean 'net'"),
        ("net@0123", "x", "a version must be 16 to 64 hexadecimal digits"),
        ("a/b", "x", "withdraw must be ID or ID@SHA256"),
        ("net", "two\nlines", "reason must be one line"),
        ("net", "", "withdraw requires a reason"),
        ("", "wrong", "reason requires an id to withdraw"),
    ],
)
def test_a_wrong_withdrawal_is_refused(run: Path, team: Path, name: str, reason: str, message: str) -> None:
    publish([run], team)
    before = (team / "registry.toml").read_bytes()
    with pytest.raises(ZooError, match=message):
        publish([], team, withdraw=name, reason=reason)
    assert (team / "registry.toml").read_bytes() == before


def test_a_publisher_that_stops_after_the_index_is_repaired_by_the_next(
    run: Path, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish([run], team)

    def stopping(path: Path, **options: Any) -> Any:
        if path.name == "README.md":
            raise KeyboardInterrupt
        return atomic_write(path, **options)

    second = other(run, seconds=7.0)
    with monkeypatch.context() as patch:
        patch.setattr("zoo.tools.share.publish.atomic_write", stopping)
        with pytest.raises(KeyboardInterrupt):
            publish([second], team, name="second")
    assert index(team).serial == 2, "the index is the commit point"
    assert "second" not in (team / "README.md").read_text()
    assert publish([run], team)["serial"] == 2
    assert "second" in (team / "README.md").read_text()
    require_whole(team)


def signers(team: Path, keys: Keys) -> list[str]:
    """Return who has signed the index: `ada@example.org`, or an empty text for a key that is not allowed."""
    content = (team / "registry.toml").read_bytes()
    stored = (team / signature_file(content)).read_bytes()
    allowed = keys.signers.read_bytes()
    return [by.principal for by in signatures.signers_of(content, stored, signatures.INDEX, allowed)]


def test_the_index_is_signed_and_the_signature_before_it_is_kept(run: Path, team: Path, keys: Keys) -> None:
    names: list[str] = []
    for number in range(3):
        assert publish(run, team, name=f"net-{number}", sign=keys.ada, dry_run=True)["signature"] is None
        names.append(publish(run, team, name=f"net-{number}", sign=keys.ada)["signature"])
        assert signers(team, keys) == ["ada@example.org"]
        assert {f"signatures/{path.name}" for path in (team / "signatures").iterdir()} == {*names[-2:]}
    again = publish(run, team, name="net-2", sign=keys.ada)
    assert (again["serial"], signers(team, keys)) == (3, ["ada@example.org"])
    require_whole(team)


def test_a_second_key_is_added_to_the_signatures_of_an_index(run: Path, team: Path, keys: Keys) -> None:
    publish(run, team, sign=keys.ada)
    before = (team / "registry.toml").read_bytes()
    for _ in range(2):
        assert publish([], team, sign=keys.eve)["weights"] == []
        assert signers(team, keys) == ["ada@example.org", ""]
    assert (team / "registry.toml").read_bytes() == before
    with pytest.raises(OutputError, match="is not a zoo, and without a run there is nothing to publish"):
        publish([], team.with_name("none"), sign=keys.ada)
    assert not team.with_name("none").exists()


def test_a_signed_zoo_is_not_changed_without_a_signature(run: Path, team: Path, keys: Keys) -> None:
    publish(run, team, sign=keys.ada)
    before = (team / "registry.toml").read_bytes()
    for runs, options in (([run], {"name": "x"}), ([], {"withdraw": "net", "reason": "wrong"})):
        with pytest.raises(
            OutputError, match="is signed, and its users may refuse an unsigned index"
        ) as error:
            publish(runs, team, **options)
        assert error.value.hint == f"sign with --sign KEY; to stop signing, delete {team / 'signatures'}"
    assert (team / "registry.toml").read_bytes() == before
    publish([], team, withdraw="net", reason="wrong", sign=keys.ada)
    assert signers(team, keys) == ["ada@example.org"]
    with pytest.raises(OptionError, match="the key to sign with is not a file"):
        publish([run], team, name="x", sign="no-such-key")


def test_an_index_that_was_changed_since_it_was_signed_is_not_signed_again(
    run: Path, team: Path, keys: Keys
) -> None:
    publish(run, team, sign=keys.ada)
    file = team / "registry.toml"
    file.write_bytes(file.read_bytes().replace(b'license = "', b'license = "X'))
    files = sorted(team.rglob("*"))
    for runs, options in (([], {"sign": keys.ada}), ([], {}), ([run], {"name": "x", "sign": keys.ada})):
        with pytest.raises(OutputError, match=r"registry.toml was changed since it was signed(?m:$)"):
            publish(runs, team, **options)
    assert sorted(team.rglob("*")) == files


def test_the_license_of_published_weights_can_be_changed(run: Path, team: Path) -> None:
    publish(run, team, license="MIT")
    assert publish(run, team)["serial"] == 1, "no license keeps the old one"
    again = publish(run, team, license="Apache-2.0")
    assert (again["serial"], again["weights"][0]["new"]) == (2, False)
    (version,) = index(team).versions["net"]
    assert version.spec.license == again["weights"][0]["license"] == "Apache-2.0"
    with pytest.raises(OptionError, match="license requires a run"):
        publish([], team, license="MIT")


def test_a_run_directory_does_not_become_a_zoo(run: Path) -> None:
    with pytest.raises(OutputError, match="is a run directory, not a zoo"):
        publish(run, run)


def test_a_publisher_that_stops_before_the_index_leaves_the_signature_of_the_old_one(
    run: Path, team: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(run, team, sign=keys.ada)

    def stopping(path: Path, **options: Any) -> Any:
        if path.name == "registry.toml":
            raise KeyboardInterrupt
        return atomic_write(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr("zoo.tools.share.publish.atomic_write", stopping)
        with pytest.raises(KeyboardInterrupt):
            publish(run, team, name="second", sign=keys.ada)
    assert len([*(team / "signatures").iterdir()]) == 2, "that of the new index was written first"
    assert (index(team).serial, signers(team, keys)) == (1, ["ada@example.org"])


def test_the_page_of_a_zoo_shows_who_has_confirmed_what(run: Path, team: Path, keys: Keys) -> None:
    publish(run, team)
    file = team / index(team).find("net").spec.file
    for key in (keys.ada, keys.eve):
        zoo.verify(file, attest=key, out=team / "attestations", progress=False)
    publish([], team, signers=keys.signers)
    rows = [line for line in (team / "README.md").read_text().splitlines() if "measured again" in line]
    assert sorted(re.findall(r"agree \| (ada@example\.org|SHA256:)", "\n".join(rows))) == [
        *("SHA256:", "ada@example.org")
    ]
    assert all(
        f"| net@{sha256_of(file)[:16]} | measured again, 2 of 2 metrics agree |" in row for row in rows
    )
    require_whole(team)


def test_each_id_has_the_model_card_of_its_newest_usable_version(
    run: Path, team: Path, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish([run], team, license="MIT")
    publish([other(run, seconds=7.0)], team, name="net")
    old, new = (version.spec.sha256 for version in reversed(index(team).versions["net"]))
    zoo.verify(team / index(team).find("net").spec.file, attest=keys.ada, out=team / "attestations", **QUIET)
    publish([], team, signers=keys.signers)
    card, page = team / "cards" / "net.md", team / "README.md"
    monkeypatch.setenv("ZOO_REMOTES", str(tmp_path / "remotes.toml"))
    zoo.add_remote("team", str(team), signers="")
    made = zoo.card("team:net", measure=False, signers=keys.signers, **QUIET).markdown()
    assert card.read_text() == made
    assert "| license | MIT |" not in made, "of the version before it"
    assert "| measured again, 2 of 2 metrics agree | ada@example.org |" in made
    assert "zoo predict team:net INPUT" in made
    assert (new in made, f"| [net](cards/net.md) | {ARCHITECTURE} |" in page.read_text()) == (True, True)
    publish([], team, withdraw="net", reason="wrong")
    assert old in card.read_text()
    assert f"| [net@{old[:16]}](cards/net.md) | {ARCHITECTURE} |" in page.read_text()
    publish([], team, withdraw=f"net@{old[:16]}", reason="wrong")
    assert not card.exists()
    assert "cards/" not in page.read_text()


def test_a_card_stays_if_the_plugin_of_its_model_is_not_installed(
    run: Path, team: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "ours.py"
    plugin.write_text(PLUGIN.format(about={"summary": "Shapes of ours"}))
    registry, best = Registry.discover(files=[plugin]), run / "best.safetensors"
    rewritten(best, dataset=structs.replace(read_card(best).dataset, name=registry.dataset("ours").name))
    publish([run], team, registry=registry)
    text = (team / "cards" / "net.md").read_text()
    assert "Shapes of ours" in text
    with pytest.warns(zoo.ZooWarning, match=r"cards/net.md was not written: unknown dataset"):
        publish([], team)
    assert (team / "cards" / "net.md").read_text() == text


def test_an_index_that_would_be_too_large_to_read_is_not_written(
    run: Path, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish([run], team)
    before = (team / "registry.toml").read_bytes()
    monkeypatch.setattr("zoo.tools.share.publish.MOST_BYTES", len(before) + 100)
    with pytest.raises(OutputError, match="the index would have"):
        publish([run], team, name="second")
    assert (team / "registry.toml").read_bytes() == before
    require_whole(team)


def test_a_card_is_written_again_and_stays_if_its_weights_cannot_be_read(run: Path, team: Path) -> None:
    publish([run], team)
    card, file = team / "cards" / "net.md", next(team.glob("weights/*"))
    text, content = card.read_text(), file.read_bytes()
    card.unlink()
    publish([], team)
    assert card.read_text() == text
    before = (team / "README.md").read_bytes()
    for damage in (b"", content[:100], content.replace(b"convnet", b"convnot")):
        file.write_bytes(damage)
        with pytest.warns(
            zoo.ZooWarning, match=r"cards/net.md was not written: the file of team:net has|damaged"
        ):
            publish([], team)
        assert (card.read_text(), (team / "README.md").read_bytes()) == (text, before)
    file.unlink()
    card.unlink()
    with pytest.warns(zoo.ZooWarning, match="the file of team:net is missing"):
        publish([], team)
    assert "cards/" not in (team / "README.md").read_text(), "the link would lead nowhere"


def test_only_headers_are_read_for_cards(run: Path, team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish([run], team)
    (team / "cards" / "net.md").unlink()
    for reader in ("zoo.files.cards.read_container", "zoo.files.hashes.sha256_of"):
        monkeypatch.setattr(reader, None)
    publish([], team)
    assert (team / "cards" / "net.md").exists()


PLUGIN = """
from zoo import DatasetSpec, hookimpl

@hookimpl
def zoo_datasets():
    return [
        DatasetSpec(name="ours", target="zoo_images.shapes:shapes", task="classification", **{about!r})
    ]
"""


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("key", "text"), [("summary", f"Photos of {USER}"), ("source", "see /srv/photos/cats"), ("license", HOME)]
)
def test_what_a_plugin_says_of_its_data_is_not_published_if_it_is_private(
    run: Path, team: Path, tmp_path: Path, key: str, text: str
) -> None:
    plugin = tmp_path / f"ours_{key}.py"
    plugin.write_text(PLUGIN.format(about={"summary": "Shapes", key: text}))
    registry, best = Registry.discover(files=[plugin]), run / "best.safetensors"
    name = registry.dataset("ours").name
    rewritten(best, dataset=structs.replace(read_card(best).dataset, name=name))
    if key == "license":  # which the index states, too
        with pytest.raises(
            WeightsError, match=f"{name} cannot be published: license contains the home folder"
        ):
            publish([run], team, registry=registry)
        assert not team.exists()
        return
    with pytest.warns(
        zoo.ZooWarning, match=rf"was not written: the model card .* published: dataset.{key} contains"
    ):
        publish([run], team, registry=registry)
    assert index(team).find("net").recipe.dataset == name
    assert not [*team.glob("cards/*")]


def test_texts_of_the_page_of_a_zoo_are_escaped(run: Path, team: Path) -> None:
    link = "[x](https://example.org)"
    rewritten(run / "best.safetensors", metrics={"val": {link: 0.5}}, intervals={"val": {}})
    publish([run], team, license=f"{link} | <b>\n\n# big \x1b[31m")
    text = (team / "README.md").read_text()
    assert text.count(r"\[x\](https://example.org)") == 2
    assert r"\| \<b\>  \# big \\x1b\[31m" in text
    assert not re.search(r"(?m)^# big|(?<!\\)\[x\]|\x1b", text)


def test_the_checksums_are_of_the_index_as_it_is(run: Path, team: Path) -> None:
    publish([run], team)
    index = team / "registry.toml"
    index.write_text(f"# as our team likes it\n{index.read_text()}")
    publish([], team)
    require_whole(team)


def test_a_damaged_file_of_a_zoo_is_written_again(run: Path, team: Path) -> None:
    publish([run], team)
    (file,) = team.glob("weights/*")
    file.write_bytes(b"damaged")
    publish([run], team)
    require_whole(team)


def test_a_second_publisher_is_refused(run: Path, team: Path) -> None:
    publish([run], team)
    with owned(team), pytest.raises(OutputError, match="is in use by process") as error:
        publish([other(run, seconds=7.0)], team)
    assert error.value.hint == "wait until the other publisher has finished"


def test_a_folder_that_is_not_a_zoo_is_not_overwritten(run: Path, team: Path) -> None:
    team.mkdir()
    (team / "README.md").write_text("my project")
    with pytest.raises(OutputError, match=r"publishing would overwrite its README\.md"):
        publish([run], team)
    (team / "registry.toml").write_text("schema = 1\n")
    with pytest.raises(ZooError, match="is not the index of a zoo"):
        publish([run], team)
    assert (team / "README.md").read_text() == "my project"


def test_a_model_on_the_hub_is_not_a_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    with pytest.raises(
        OptionError, match=r"hf:me/x is a model on the Hugging Face Hub, not a folder"
    ) as error:
        publish([run], "hf:me/x")
    assert error.value.hint == "`zoo push RUN hf:me/x` publishes there"
    assert not Path("hf:me").exists()


def test_unfinished_runs_and_damaged_files_are_refused(run: Path, team: Path) -> None:
    content = (run / "best.safetensors").read_bytes()
    (run / "best.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="is damaged"):
        publish([run], team)
    (run / "best.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="is a checkpoint"):
        publish([shutil.copy(run / "checkpoint.safetensors", run.parent / "x.safetensors")], team)
    (run / "model.safetensors").unlink()
    for each in (run, run / "best.safetensors"):
        with pytest.raises(WeightsError, match=r"is not finished, so it cannot be published"):
            publish([each], team)
    assert not team.exists()


def test_what_has_no_name_for_others_is_refused(run: Path, team: Path, lstm_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"the location of its data \(paths\) is a path"):
        publish([lstm_file.parent], team)
    card = read_card(run / "best.safetensors")
    for changes, message in (
        ({"architecture": "local/Net"}, "its class belongs to a Python session"),
        ({"dataset": structs.replace(card.dataset, name="local/data")}, "its data has no name"),
        ({"dataset": structs.replace(card.dataset, name="unknown data")}, "its data has no name"),
        ({"base_model": {"file": "x.pth", "sha256": "0"}, "dataset": card.dataset}, "weights were imported"),
    ):
        rewritten(run / "best.safetensors", **{"architecture": card.architecture, **changes})
        with pytest.raises(WeightsError, match=message):
            publish([run], team)
    assert not team.exists()


def test_runs_need_different_valid_names(run: Path, team: Path) -> None:
    again = shutil.copytree(run, run.parent / "more" / "net")
    with pytest.raises(OptionError, match="two runs have the name 'net'"):
        publish([run, again], team)
    for name in ("team:net", "net@1", "a/b", "a.b"):
        with pytest.raises(OptionError, match="cannot be the id of weights"):
            publish([run], team, name=name)


def test_a_recipe_is_published_without_paths(run: Path, registry: Registry, team: Path) -> None:
    card = read_card(run / "best.safetensors")
    options = {**card.dataset.options, "root": "photos"}
    dataset = structs.replace(card.dataset, name="images/cifar10", options=options)
    recipe = public_recipe(structs.replace(card, dataset=dataset), registry, team)
    assert "root" not in recipe.data
    assert recipe.dataset == "images/cifar10"


def test_weights_to_start_from_are_named_as_in_the_zoo(run: Path, registry: Registry, team: Path) -> None:
    card = read_card(run / "best.safetensors")
    base = {"architecture": card.architecture, "dataset": card.dataset.name, "sha256": card.sha256}
    tuned = structs.replace(card, base_model=base)
    with pytest.raises(WeightsError, match="was fine-tuned from weights that the zoo does not have"):
        public_recipe(tuned, registry, team)
    publish([run], team)
    assert (
        public_recipe(tuned, registry, team).from_weights == f"net@{sha256_of(run / 'best.safetensors')[:16]}"
    )


SECRETS = (
    *(f"{HOME}/photos", "/srv/photos/cats", "~/photos", "~ada/photos", "/photos", "`/srv/photos/cats`"),
    *(
        "{/srv/photos/cats}",
        r"\\server\photos",
        "in $HOME/photos",
        "%USERPROFILE%",
        f"on {HOST}",
        f"by {USER}.",
    ),
)


def planted(value: Any, secret: str) -> Iterator[tuple[str, Any]]:
    """Yield JSON data with a secret in the place of each text, and as a new key and item of each table."""
    if isinstance(value, str):
        yield "", secret
    elif isinstance(value, dict):
        yield ".new", {**value, "new": secret}
        yield ".key", {**value, secret: 1}
        for key, item in value.items():
            for place, changed in planted(item, secret):
                yield f".{key}{place}", {**value, key: changed}
    elif isinstance(value, list | tuple):
        yield "[]", [*value, secret]
        for number, item in enumerate(value):
            for place, changed in planted(item, secret):
                yield f"[{number}]{place}", [*value[:number], changed, *value[number + 1 :]]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.usefixtures("named")
def test_no_field_of_a_card_or_a_recipe_tells_about_this_machine(
    run: Path, registry: Registry, team: Path, secret: str
) -> None:
    card = read_card(run / "best.safetensors")
    recipe = public_recipe(card, registry, team).to_dict()
    for values in (card.to_dict(), {"recipe": recipe}):
        refuse_private(values, "it")
        places = 0
        for place, changed in planted(values, secret):
            in_data = place.startswith(".preprocess") and HOME not in secret  # words that the model reads
            if not in_data:
                places += 1
                with pytest.raises(WeightsError, match="cannot be published"):
                    refuse_private(changed, "it")
        assert places > 20


@pytest.mark.usefixtures("named")
def test_nothing_in_a_zoo_tells_about_this_machine(run: Path, team: Path, tmp_path: Path) -> None:
    for options in ({"license": f"see {HOME}/x"}, {"name": USER}):
        with pytest.raises(WeightsError, match="cannot be published"):
            publish([run], team, **options)
    rewritten(other(run, seconds=1.0) / "best.safetensors", changes=(f"data.file: a -> {HOME}/b",))
    with pytest.raises(WeightsError, match=r"changes contains the home folder"):
        publish([run.with_name("net-1")], team, name="net")
    card, content = read_weights(run / "best.safetensors")
    noted = {KEY: canonical_json(card.to_dict()), "note": f"made in {HOME}/x"}
    write_container(run.with_name("noted.safetensors"), [*content.tensors.values()], noted)
    with pytest.raises(WeightsError, match=r"metadata\.note contains the home folder"):
        publish([run.with_name("noted.safetensors")], team)
    publish([run], team)
    with pytest.raises(WeightsError, match="the arguments cannot be published"):
        publish([], team, withdraw="net", reason=f"ask {USER}")
    content = b"".join(path.read_bytes() for path in team.rglob("*") if path.is_file())
    for secret in (str(tmp_path), HOST, HOME):
        assert secret.encode() not in content


def test_the_command_says_what_was_published(run: Path, team: Path) -> None:
    planned = shell("publish", run, team, "--dry-run")
    assert "would be published" in planned.stdout
    done = shell("publish", run, team, "--license", "MIT", "--quiet", "--json")
    assert json.loads(done.stdout)["weights"][0]["new"] is True
    assert "was published before" in shell("publish", run, team).stdout
    withdrawn = shell("publish", "--withdraw", "net", "--reason", "wrong labels", team)
    assert (withdrawn.returncode, "withdrawn" in withdrawn.stdout) == (0, True)
    assert shell("publish", run, "--withdraw", "net", "--reason", "x", team).returncode == 2
    assert shell("publish", run).returncode == 1


def test_a_source_that_changes_while_it_is_copied_is_refused(
    run: Path, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: Path, **options: Any) -> Any:
        (run / "best.safetensors").write_bytes(b"other bytes")
        return atomic_write(path, **options)

    monkeypatch.setattr("zoo.tools.share.publish.atomic_write", late)
    with pytest.raises(DataError, match="has the wrong content"):
        publish([run], team)
    assert not (team / "registry.toml").exists()
    assert not [*team.glob("weights/*")]

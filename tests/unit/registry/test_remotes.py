"""Remotes: `team:net` is weights in every command, checked against an index in a folder or on a server."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.keys import Keys
from tests.nightly.reliability import server
from tests.shell import zoo as shell
from zoo.errors import CatalogError, DataError, OptionError, UnknownName, WeightsError, ZooError, ZooWarning
from zoo.files import downloads
from zoo.files.hashes import sha256_of
from zoo.registry import remotes
from zoo.registry.zoo_index import ZooIndex, read_index
from zoo.runs.resolving import named_recipe


@pytest.fixture(scope="module")
def published(net_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a zoo with one run, `net`."""
    folder = tmp_path_factory.mktemp("zoos") / "team"
    zoo.publish(net_file.parent, folder, name="net", license="MIT", progress=False)
    return folder


@pytest.fixture
def team(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the zoo, which a test may change."""
    return shutil.copytree(published, tmp_path / "team")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use no remotes and no cache but this test's own, in an empty folder."""
    monkeypatch.setenv("ZOO_REMOTES", str(tmp_path / "remotes.toml"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def index(team: Path) -> ZooIndex:
    return read_index((team / "registry.toml").read_bytes(), team / "registry.toml")


def file_of(team: Path) -> Path:
    return team / index(team).find("net").spec.file


def test_a_name_of_a_zoo_is_weights_in_every_command(team: Path) -> None:
    assert shell("remote", "add", "team", team).returncode == 0
    sha256 = sha256_of(file_of(team))
    for name in ("team:net", f"team:net@{sha256[:16]}", f"team:net@{sha256}"):
        assert zoo.load(name, progress=False).path == file_of(team)
    for words in (
        ["eval", "team:net"],
        ["inspect", "team:net"],
        ["show", "team:net"],
        ["verify", "team:net"],
        ["train", "resnet-lite", "shapes", "--from", "team:net", "--dry-run"],
    ):
        done = shell(*words)
        assert done.returncode == 0, (words, done.stderr)
    assert named_recipe("team:net", None, zoo.Registry.discover()) == index(team).find("net").recipe


@pytest.mark.filterwarnings("ignore:left out:zoo.errors.ZooWarning")
def test_a_card_has_what_the_index_of_a_zoo_states(team: Path) -> None:
    zoo.add_remote("team", str(team))
    spec = index(team).find("net").spec
    fields = zoo.card("team:net", measure=False, progress=False).fields
    assert fields["license"] == "MIT"
    assert fields["dataset"]["license"] == spec.data_license
    assert spec.intervals
    assert fields["intervals"] == spec.intervals
    assert fields["parameters"] == spec.params
    assert fields["check"]["train with the recipe"] == "zoo train team:net"


def test_lists_and_completion_use_the_copy_of_the_index(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.add_remote("team", str(team))
    monkeypatch.setattr(remotes, "fetch_index", None)
    assert "team:net" in zoo.list_weights()
    (row,) = json.loads(shell("list", "weights", "team:", "--json").stdout)
    assert (row["name"], row["license"], row["at_hand"]) == ("team:net", "MIT", True)
    for typed, offered in (("team : n", ["net"]), ("team :", ["net"]), ("tea", ["team:net"])):
        words = f"zoo eval {typed}"
        env = {"_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        items = [line.split(",") for line in shell(env=env).stdout.splitlines()]
        assert [value for kind, value in items if kind == "plain"] == offered, typed


def test_a_zoo_is_listed_by_its_name_or_by_its_folder(team: Path) -> None:
    assert zoo.list_weights(remote=str(team)) == ["net"]
    zoo.add_remote("team", str(team))
    assert zoo.list_weights(remote="team") == ["team:net"]
    zoo.publish([], team, withdraw="net", reason="wrong labels", progress=False)
    done = shell("list", "--remote", "team", "--json")
    assert json.loads(done.stdout) == []
    assert "was withdrawn: wrong labels" in done.stderr


def test_a_new_version_is_used_at_once_and_a_withdrawn_one_is_refused(team: Path) -> None:
    zoo.add_remote("team", str(team))
    zoo.publish([], team, withdraw="net", reason="wrong labels", progress=False)
    with pytest.raises(WeightsError, match="was withdrawn by its publisher: wrong labels"):
        zoo.load("team:net", progress=False)
    assert "was withdrawn" in shell("eval", "team:net").stderr
    assert "team:net" not in zoo.list_weights()


def test_remotes_are_added_listed_and_removed(team: Path, tmp_path: Path) -> None:
    row = {"name": "team", "address": str(team), "signers": "", "serial": 1, "weights": 1}
    assert zoo.add_remote("team", str(team)) == row
    assert zoo.list_remotes() == [row]
    assert json.loads(shell("remote", "list", "--json").stdout) == [row]
    assert (tmp_path / "remotes.toml").read_text() == f'[team]\naddress = "{team}"\n'
    assert zoo.remove_remote("team") == row
    assert zoo.list_remotes() == []
    with pytest.raises(UnknownName, match="unknown remote 'team'"):
        zoo.remove_remote("team")


@pytest.mark.parametrize("name", ["hf", "Team", "a:b", "a@b", "a/b", "", "-a", "../x"])
def test_a_remote_needs_a_valid_name(team: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="the name of a remote"):
        zoo.add_remote(name, str(team))
    (tmp_path / "remotes.toml").write_text(f'["{name}"]\naddress = "{team}"\n')
    with pytest.raises(CatalogError, match="a remote cannot be called"):
        zoo.list_remotes()


@pytest.mark.parametrize(
    "address",
    [
        *("http://example.org/zoo", "ftp://example.org/zoo", "https://", "https:///zoo", "file:///srv/zoo"),
        *("https://example.org/zoo?token=1", "https://example.org/zoo#x", "https://example.org:99999/"),
        "s3://bucket/zoo",
    ],
)
def test_an_address_is_a_folder_or_https(tmp_path: Path, address: str) -> None:
    with pytest.raises(OptionError, match="address must be a folder, or begin with https://"):
        zoo.add_remote("team", address)
    (tmp_path / "remotes.toml").write_text(f'[team]\naddress = "{address}"\n')
    with pytest.raises(CatalogError, match=r"\[team\] address must be a folder, or begin with https://"):
        zoo.load("team:net", progress=False)


def test_credentials_in_an_address_are_refused_and_not_repeated(tmp_path: Path) -> None:
    address = "https://ada:s3cret@example.org/zoo"
    for words in (["remote", "add", "team", address], ["list", "--remote", address]):
        done = shell(*words)
        assert "an address must not contain a user name or a password" in done.stderr
        assert "s3cret" not in done.stderr + done.stdout
    (tmp_path / "remotes.toml").write_text(f'[team]\naddress = "{address}"\n')
    done = shell("eval", "team:net")
    assert "s3cret" not in done.stderr


def sign(team: Path, key: Path) -> None:
    """Add a signature to the index of a zoo."""
    zoo.publish([], team, sign=key, progress=False)


def test_a_remote_with_signers_needs_a_signature_by_one_of_them(team: Path, keys: Keys) -> None:
    with pytest.raises(DataError, match=r"team must be signed by a key in .*, but its index has no read"):
        zoo.add_remote("team", str(team), signers=keys.signers)
    assert zoo.list_remotes() == []
    sign(team, keys.eve)
    with pytest.raises(DataError, match="is not signed by a key that"):
        zoo.add_remote("team", str(team), signers=keys.signers)
    sign(team, keys.ada)
    done = shell("remote", "add", "team", team, "--signers", keys.signers)
    assert done.returncode == 0, done.stderr
    assert str(keys.signers) in shell("remote", "list").stdout
    zoo.load("team:net", progress=False)
    assert zoo.list_weights(remote="team") == ["team:net"]


def test_a_remote_does_not_lose_its_signers_by_being_added_again(team: Path, keys: Keys) -> None:
    sign(team, keys.ada)
    zoo.add_remote("signed", str(team), signers=keys.signers)
    with pytest.raises(
        OptionError, match=f"signed has the signers {keys.signers}, which must be given again"
    ):
        zoo.add_remote("signed", str(team))
    zoo.remove_remote("signed")
    assert zoo.add_remote("signed", str(team))["signers"] == ""


def test_it_is_told_that_a_name_means_another_zoo(team: Path, tmp_path: Path) -> None:
    other = shutil.copytree(team, tmp_path / "other")
    zoo.add_remote("team", str(team))
    with pytest.warns(ZooWarning, match=f"team was the name of the zoo at {team} before$"):
        zoo.add_remote("team", str(other))


@pytest.mark.parametrize("key", ["public", "private"])
def test_allowed_signers_without_names_are_refused(team: Path, keys: Keys, key: str) -> None:
    file = keys.ada if key == "private" else keys.ada.with_suffix(".pub")
    with pytest.raises(DataError, match="has no line such as `NAME ssh-ed25519 AAAA"):
        zoo.add_remote("signed", str(team), signers=file)


def test_a_folder_that_is_gone_is_told_from_one_that_is_no_zoo(team: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"the folder .*gone does not exist") as error:
        zoo.add_remote("x", str(tmp_path / "gone"))
    assert "whether the disk is connected" in str(error.value.hint)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match=r"is not a zoo: registry.toml cannot be read"):
        zoo.add_remote("x", str(tmp_path / "empty"))


def test_an_older_state_is_accepted_by_adding_the_remote_again(team: Path, keys: Keys) -> None:
    before = shutil.copytree(team, team.with_name("before"))
    for folder in (before, team):
        sign(folder, keys.ada)
    zoo.publish([], team, withdraw="net", reason="wrong", sign=keys.ada, progress=False)
    zoo.add_remote("team", str(team), signers=keys.signers)
    shutil.rmtree(team)
    before.rename(team)
    with pytest.raises(DataError, match="serial 1 is older than 2") as error:
        zoo.load("team:net", progress=False)
    command = f"zoo remote add team {team} --signers {keys.signers}"
    assert error.value.hint == f"if the publisher confirms this state, `{command}` accepts it"
    assert shell(*command.split()[1:]).returncode == 0
    zoo.load("team:net", progress=False)


@pytest.mark.parametrize("content", [b"", b"damaged", b"\xff 7", b"7"])
def test_a_damaged_memory_of_a_serial_is_forgotten(team: Path, content: bytes, monkeypatch: Any) -> None:
    state = team.with_name("state")
    monkeypatch.setenv("ZOO_STATE", str(state))
    zoo.add_remote("team", str(team))
    (memory,) = (state / "zoos").iterdir()
    whole = memory.read_bytes()
    memory.write_bytes(content)
    zoo.load("team:net", progress=False)
    assert memory.read_bytes() == whole


def test_a_copy_is_read_only_with_the_signers_that_allowed_it(
    online: tuple[str, list[str], dict[str, Any]], team: Path, keys: Keys, tmp_path: Path, monkeypatch: Any
) -> None:
    address, _, answers = online
    sign(team, keys.ada)
    signature = next((team / "signatures").iterdir())
    place = f"/zoo/signatures/{signature.name}"
    for answer in (server.gives(b"", status=404), server.never_ends(), server.gives(signature.read_bytes())):
        with pytest.raises(UnknownName, match="unknown remote"):
            zoo.load("team:net", progress=False)
        answers[place] = answer
        shutil.copy(keys.signers, tmp_path / "signers")
        with contextlib.suppress(DataError):
            zoo.add_remote("team", address, signers=tmp_path / "signers")
    zoo.load("team:net", progress=False)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    zoo.load("team:net", progress=False)
    assert "team:net" in zoo.list_weights()
    (tmp_path / "signers").write_text(keys.line(key=keys.eve))
    assert "team:net" not in zoo.list_weights()
    with pytest.raises(DataError, match="downloads are disabled"):
        zoo.load("team:net", progress=False)


def test_remotes_are_never_read_from_the_current_folder(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("remotes.toml").write_text(f'[team]\naddress = "{team}"\n')
    Path("registry.toml").write_text(f'schema = 1\n[remotes.team]\naddress = "{team}"\n')
    assert zoo.list_remotes() == []
    with pytest.raises(CatalogError, match="unknown field"):
        zoo.list_weights()
    monkeypatch.setenv("ZOO_REMOTES", "remotes.toml")
    with pytest.raises(CatalogError, match=r"\$ZOO_REMOTES must be an absolute path"):
        zoo.list_remotes()


def test_a_zoo_in_place_of_weights_is_told(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.add_remote("team", str(team))
    for name in ("team", "team:"):
        with pytest.raises(WeightsError, match=f"{name} is a remote, not weights\nwrite team:ID;"):
            zoo.load(name)
    monkeypatch.chdir(team.parent)
    zoo.remove_remote("team")
    for name in ("team", "./team"):
        with pytest.raises(WeightsError, match="team is a zoo, not weights\n`zoo remote add NAME team`"):
            zoo.load(name)


def test_paths_stay_paths(team: Path, net_file: Path) -> None:
    zoo.add_remote("team", str(team))
    shutil.copy(net_file, "team:net")
    with pytest.warns(ZooWarning, match="team:net is a file in the current folder"):
        assert zoo.load("team:net", progress=False).path == Path("team:net")
    assert zoo.load("./team:net", progress=False).path == Path("./team:net")
    Path("team:net").unlink()
    with pytest.raises(WeightsError, match=r"no such file or run directory: \./team:net"):
        zoo.load("./team:net", progress=False)
    assert zoo.load("team:net", progress=False).path == file_of(team)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("tem:net", UnknownName, "unknown remote 'tem'; did you mean 'team'"),
        ("team:nett", WeightsError, "team: the zoo has no weights 'nett'; did you mean 'net'"),
        ("team:net@0123", WeightsError, "a version must be 16 to 64 hexadecimal digits"),
        (f"team:net@{'0' * 16}", WeightsError, "the zoo has no version net@0"),
    ],
)
def test_unknown_names_are_refused(team: Path, name: str, kind: type[ZooError], message: str) -> None:
    zoo.add_remote("team", str(team))
    with pytest.raises(kind, match=message):
        zoo.load(name, progress=False)


def _flip(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _link(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def _link_folder(file: Path) -> None:
    file.parent.rename(file.parents[1] / "elsewhere")
    file.parent.symlink_to("elsewhere")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (_flip, "has the wrong content: expected sha256"),
    "truncated": (lambda file: file.write_bytes(b"x"), r"the file of team:net has 1 bytes instead of 11,\d+"),
    "missing": (lambda file: file.unlink(), "the file of team:net is missing"),
    "a link": (_link, "the file of team:net is a link, which zoo does not follow"),
    "a linked folder": (_link_folder, "the file of team:net is a link, which zoo does not follow"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_file_that_is_not_as_in_the_index_is_refused(team: Path, what: str) -> None:
    zoo.add_remote("team", str(team))
    damage, message = DAMAGE[what]
    damage(file_of(team))
    with pytest.raises(DataError, match=message):
        zoo.load("team:net", progress=False)


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("train_size = 64", 'train_size = 64\nroot = "/home/ada"', "root"),
        ("train_size = 64", 'train_size = 64\ncache = "x"', "cache"),
    ],
)
def test_a_recipe_of_a_zoo_sets_only_what_a_card_may_set(
    team: Path, old: str, new: str, refused: str
) -> None:
    path = team / "registry.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    zoo.add_remote("team", str(team))
    with pytest.raises(CatalogError, match=f"the recipe of team:net sets {refused}, which only the user may"):
        zoo.train("team:net", dry_run=True, progress=False)


@pytest.fixture
def online(team: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Serve the zoo; yield its address, the paths requested, and the answers by path."""
    for name in ("ZOO_OFFLINE", "ZOO_DATA", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.CERTIFICATE))
    monkeypatch.setattr(downloads, "TIMEOUT", 1.0)
    files = (path for path in team.rglob("*") if path.is_file())
    answers = {f"/zoo/{path.relative_to(team)}": server.gives(path.read_bytes()) for path in files}
    with server.serving(answers) as (home, requested):
        yield f"{home}/zoo", requested, answers


def test_a_zoo_on_a_server_is_downloaded_once_and_its_index_each_time(
    online: tuple[str, list[str], dict[str, Any]], team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, requested, _ = online
    zoo.add_remote("team", f"{address}/")
    file = f"/zoo/{file_of(team).relative_to(team)}"
    assert zoo.load("team:net", progress=False).card.architecture == "convnet/resnet-lite"
    assert requested == ["/zoo/registry.toml", "/zoo/registry.toml", file]
    zoo.load("team:net", progress=False)
    assert requested[3:] == ["/zoo/registry.toml"]
    assert "team:net" in zoo.list_weights()
    zoo.list_remotes()
    assert len(requested) == 4, "lists do not use the network"
    assert zoo.list_weights(remote="team") == ["team:net"]
    assert len(requested) == 5
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    zoo.load("team:net", progress=False)
    assert len(requested) == 5


def test_a_message_about_an_index_has_its_address(online: tuple[str, list[str], dict[str, Any]]) -> None:
    address, _, answers = online
    answers["/zoo/registry.toml"] = server.gives(b"schema = 1\n")
    with pytest.raises(CatalogError, match=f"^{address}/registry.toml is not the index of a zoo"):
        zoo.add_remote("team", address)


BAD = {
    "missing": (server.gives(b"", status=404), "404"),
    "a page": (server.gives(b"<html>"), "is not valid TOML"),
    "truncated": (server.gives(b"schema", length=9), "IncompleteRead|could not be downloaded"),
    "endless": (server.never_ends(), "the server sent more than 1,000 bytes"),
    "stalled": (server.stalls(b"schema = 1\n"), "timed out"),
    "slow": (
        server.writes(b"HTTP/1.1 200 OK\r\n\r\n", again=b"x"),
        "more than 0 seconds|more than 1,000 bytes",
    ),
    "downgraded": (server.redirects_to("http://localhost/"), "redirected to a URL that does not use https"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_server_without_a_whole_index_is_refused_in_time(
    online: tuple[str, list[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    address, _, answers = online
    answers["/zoo/registry.toml"], message = BAD[what]
    monkeypatch.setattr(remotes, "MOST_BYTES", 1_000)
    if what == "slow":
        monkeypatch.setattr(remotes, "_SECONDS", 0.1)
    with pytest.raises(ZooError, match=message):
        zoo.add_remote("team", address)
    assert zoo.list_remotes() == []


@pytest.mark.parametrize("what", ["flipped", "longer", "page"])
def test_wrong_bytes_of_a_server_are_not_loaded(
    online: tuple[str, list[str], dict[str, Any]], team: Path, what: str
) -> None:
    address, _, answers = online
    content = file_of(team).read_bytes()
    wrong = {"flipped": content[:-1] + b"\0", "longer": content + b"x", "page": b"<html>"}[what]
    answers[f"/zoo/{file_of(team).relative_to(team)}"] = server.gives(wrong)
    zoo.add_remote("team", address)
    with pytest.raises(DataError, match="could not be downloaded"):
        zoo.load("team:net", progress=False)


def test_credentials_come_from_netrc(
    online: tuple[str, list[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _, answers = online
    given: list[str | None] = []
    answer = answers["/zoo/registry.toml"]

    def noting(request: Any, over: Any) -> None:
        given.append(request.headers.get("Authorization"))
        answer(request, over)

    answers["/zoo/registry.toml"] = noting
    (tmp_path / "netrc").write_text("machine localhost login ada password s3cret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    zoo.add_remote("team", address)
    assert given == ["Basic YWRhOnMzY3JldA=="]

"""A server on this machine that speaks the Hugging Face Hub's protocol, as far as zoo and timm use it.

It keeps repositories in memory. Files are part of a commit ("regular") or, with `lfs`, uploaded before it by
the basic way of git-lfs, which the client takes with HF_HUB_DISABLE_XET=1.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

__all__ = ["Answer", "FakeHub", "Repository", "connected", "serving_hub"]

NO_HEADERS: Mapping[str, str] = {}


class Answer(NamedTuple):
    status: int
    content: bytes = b""
    headers: Mapping[str, str] = NO_HEADERS


class Refused(Exception):
    """An answer other than what was asked for."""

    def __init__(self, status: int, code: str = "", *, message: str = "") -> None:
        headers = {"X-Error-Code": code} if code else {}
        self.answer = Answer(status, json.dumps({"error": message}).encode(), headers)


@dataclass
class Repository:
    """Commits, each with all of its files; branches and tags name them."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], head: str = "main") -> str:
        """Add files to those of main, and return the new commit."""
        oid = hashlib.sha1(f"{id(self)} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = {**self.commits.get(self.heads.get("main", ""), {}), **files}
        self.heads[head] = oid
        return oid

    def oid(self, revision: str = "main") -> str:
        found = {**self.heads, **self.tags}.get(revision, revision)
        if found not in self.commits:
            raise Refused(404, "RevisionNotFound")
        return found

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.oid(revision)]


@dataclass
class FakeHub:
    """The state of the server.

    Attributes:
        fault: what goes wrong with a request, by its method and path: a status such as `503`; `drop`; `lost`,
            if a request is carried out but not answered; `truncate`; `flip`, of a bit; `stall`; or nothing.
        meanwhile: called before a commit is compared with its parent.
    """

    lfs: bool = False
    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fault: Callable[[str, str], str] = lambda method, path: ""
    meanwhile: Callable[[Repository], object] = lambda repository: None
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            for asked, pattern, respond in ROUTES:
                if method == asked and (found := re.fullmatch(pattern, parts.path)):
                    return respond(self, *map(unquote, found.groups("main")), query=query, body=body)
            raise Refused(404, message=f"no such address: {target}")
        except Refused as refused:
            return refused.answer

    def repository(self, name: str) -> Repository:
        if name not in self.repositories:
            raise Refused(404, "RepoNotFound")
        if self.repositories[name].gated:
            raise Refused(403, "GatedRepo")
        return self.repositories[name]

    def large(self, path: str) -> bool:
        return self.lfs and path.endswith(".safetensors")

    def etag(self, path: str, content: bytes) -> str:
        blob = b"blob %d\0" % len(content) + content
        return hashlib.sha256(content).hexdigest() if self.large(path) else hashlib.sha1(blob).hexdigest()


def whoami(hub: FakeHub, **_: Any) -> Answer:
    return _json({"name": "me", "type": "user", "auth": {}})


def create(hub: FakeHub, *, body: bytes, **_: Any) -> Answer:
    given = json.loads(body)
    name = f"{given.get('organization') or 'me'}/{given['name']}"
    if name in hub.repositories:
        return Answer(409, json.dumps({"url": f"{hub.address}/{name}"}).encode())
    private = bool(given.get("private")) or given.get("visibility") == "private"
    hub.repositories[name] = Repository(private)
    hub.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
    return _json({"url": f"{hub.address}/{name}"})


def validate(hub: FakeHub, *, body: bytes, **_: Any) -> Answer:
    text = json.loads(body)["content"]
    if "license: nonsense" in text:
        return Answer(400, json.dumps({"errors": [{"message": '"license" must be one of'}]}).encode())
    return _json({"errors": [], "warnings": []})


def about(hub: FakeHub, name: str, revision: str = "main", **_: Any) -> Answer:
    found = hub.repository(name)
    siblings = [_sibling(hub, path, content) for path, content in found.files(revision).items()]
    more = {"sha": found.oid(revision), "private": found.private, "tags": [], "siblings": siblings}
    return _json({"id": name, "modelId": name, **more})


def _sibling(hub: FakeHub, path: str, content: bytes) -> dict[str, Any]:
    """Describe a file as the Hub does if a client asks for the metadata of files."""
    facts: dict[str, Any] = {"rfilename": path, "size": len(content)}
    facts["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if hub.large(path):  # git stores only a pointer
        facts["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 9}
        facts["blobId"] = "0" * 40
    return facts


def refs(hub: FakeHub, name: str, **_: Any) -> Answer:
    found = hub.repository(name)
    tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in found.tags.items()]
    return _json({"branches": [], "tags": tags, "converts": []})


def tag(hub: FakeHub, name: str, revision: str, *, body: bytes, **_: Any) -> Answer:
    found, new = hub.repository(name), json.loads(body)["tag"]
    if new in found.tags:
        raise Refused(409)
    found.tags[new] = found.oid(revision)
    return _json({})


def preupload(hub: FakeHub, name: str, revision: str, *, body: bytes, **_: Any) -> Answer:
    files, rows = hub.repository(name).files(revision), []
    for path in (each["path"] for each in json.loads(body)["files"]):
        mode = "lfs" if hub.large(path) else "regular"
        row = {"path": path, "uploadMode": mode, "shouldIgnore": False}
        rows.append(row | ({"oid": hub.etag(path, files[path])} if path in files else {}))
    return _json({"files": rows})


def batch(hub: FakeHub, name: str, *, body: bytes, **_: Any) -> Answer:
    rows = []
    for each in json.loads(body)["objects"]:
        href = f"{hub.address}/objects/{each['oid']}"
        actions = {} if each["oid"] in hub.objects else {"actions": {"upload": {"href": href}}}
        rows.append({"oid": each["oid"], "size": each["size"], **actions})
    return _json({"transfer": "basic", "objects": rows})


def put(hub: FakeHub, oid: str, *, body: bytes, **_: Any) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        raise Refused(400, message="wrong sha256")
    hub.objects[oid] = body
    return Answer(200)


def commit(hub: FakeHub, name: str, revision: str, *, query: Mapping[str, str], body: bytes) -> Answer:
    found = hub.repository(name)
    lines = [(line["key"], line["value"]) for line in map(json.loads, body.splitlines())]
    hub.meanwhile(found)
    parent = dict(lines)["header"].get("parentCommit")
    if parent and parent != found.oid(revision):
        raise Refused(412, message="A commit has happened since. Please refresh and try again.")
    files = {value["path"]: base64.b64decode(value["content"]) for key, value in lines if key == "file"}
    files |= {value["path"]: hub.objects[value["oid"]] for key, value in lines if key == "lfsFile"}
    requested = query.get("create_pr") == "1"
    head = f"refs/pr/{len(found.heads)}" if requested else revision
    oid = found.commit(files, head)
    more = {"pullRequestUrl": f"{hub.address}/{name}/discussions/1"} if requested else {}
    return _json({"commitUrl": f"{hub.address}/{name}/commit/{oid}", "commitOid": oid, **more})


def file(hub: FakeHub, name: str, revision: str, path: str, **_: Any) -> Answer:
    found = hub.repository(name)
    oid = found.oid(revision)
    if path not in found.commits[oid]:
        raise Refused(404, "EntryNotFound")
    content = found.commits[oid][path]
    etag = f'"{hub.etag(path, content)}"'
    return Answer(200, content, {"X-Repo-Commit": oid, "ETag": etag})


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


NAME, REVISION = r"([\w.-]+/[\w.-]+)", r"([\w.%-]+)"
ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create),
    ("POST", "/api/validate-yaml", validate),
    ("GET", f"/api/models/{NAME}(?:/revision/{REVISION})?", about),
    ("GET", f"/api/models/{NAME}/refs", refs),
    ("POST", f"/api/models/{NAME}/tag/{REVISION}", tag),
    ("POST", f"/api/models/{NAME}/preupload/{REVISION}", preupload),
    ("POST", f"/{NAME}.git/info/lfs/objects/batch", batch),
    ("PUT", "/objects/([0-9a-f]{64})", put),
    ("POST", f"/api/models/{NAME}/commit/{REVISION}", commit),
    ("GET", f"/{NAME}/resolve/{REVISION}/(.+)", file),
]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that have disconnected."""


@contextlib.contextmanager
def serving_hub(*, lfs: bool = False) -> Generator[FakeHub]:
    """Run a Hub without any repositories."""
    hub = FakeHub(lfs)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            hub.requests.append(f"{self.command} {self.path}")
            fault = hub.fault(self.command, self.path)
            self.close_connection = fault in ("stall", "drop", "lost", "truncate")
            if fault == "stall":
                hub.over.wait()
            if fault in ("stall", "drop"):
                return
            status, content, headers = hub.answer(self.command.replace("HEAD", "GET"), self.path, body)
            if fault == "lost":
                return
            if fault.isdecimal():
                status, content, headers = int(fault), b"{}", {}
            length = len(content)
            if fault == "flip" and content:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: length // 2] if fault == "truncate" else content)

        do_GET = do_HEAD = do_POST = do_PUT = respond

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def connected(hub: FakeHub, cache: Path, patch: pytest.MonkeyPatch | None = None) -> Generator[None]:
    """Let the client in this process use a server, a cache of its own, a token, and little patience.

    A test that changes the environment too must give its `patch`: two would be undone in the wrong order.
    """
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    own = pytest.MonkeyPatch.context() if patch is None else contextlib.nullcontext(patch)
    with own as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)  # of the client's own call
        patch.setattr(constants, "ENDPOINT", hub.address)
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
            patch.setattr(constants, name, True)
        for module, name in (
            (constants, "HF_HUB_ETAG_TIMEOUT"),
            (constants, "HF_HUB_DOWNLOAD_TIMEOUT"),
            (file_download, "_ETAG_RETRY_TIMEOUT"),
        ):
            patch.setattr(module, name, 0.5)
        for module in (_http, file_download):
            patch.setattr(module, "time", _Clock())
        patch.setenv("HF_TOKEN", "hf_of_a_test")
        patch.delenv("ZOO_OFFLINE", raising=False)
        yield


class _Clock:
    """The module `time`, in which nobody sleeps."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        pass

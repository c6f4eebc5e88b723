"""The folder of the page without a server: complete, and without a request to another host."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from sitegen import browser
from zoo.errors import OptionError

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with files in place of ONNX Runtime, 3 MB together."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    for name in RUNTIME:
        (folder / name).write_bytes(b"0" * 1_500_000)
    monkeypatch.setattr(browser, "_RUNTIME", folder)
    return folder


@pytest.fixture
def built(runtime: Path, tmp_path: Path) -> Path:
    browser.build(tmp_path / "site/try", [])
    return tmp_path / "site/try"


def test_every_file_is_used_and_every_file_that_is_used_is_there(built: Path) -> None:
    page = (built / "index.html").read_text(encoding="utf-8")
    modules = [path.read_text(encoding="utf-8") for path in built.glob("*.js")]
    linked = set(re.findall(r'(?:href|src)="([^"#]+)"', page))
    imported = {name for text in modules for name in re.findall(r'from "\./(.+?)"', text)}
    named = {name for text in modules for name in re.findall(r'"((?:runtime|models)/[\w.-]+)"', text)}
    files = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert linked | imported | named | {"index.html"} == files
    assert {f"runtime/{name}" for name in RUNTIME} < named
    assert json.loads((built / "models/index.json").read_bytes()) == []


def test_the_page_has_the_templates_of_the_served_page_and_no_gaps(built: Path) -> None:
    page = (built / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<template id="([\w-]+)">', page) == [
        "images-view",
        "inside-view",
        "heat-view",
        "terms-view",
        "text-view",
    ]
    assert page.count("</template>") == 5
    assert "<!--" not in page
    assert "(3.0 MB)" in page


def test_there_is_no_inline_script_no_other_host_and_no_server(built: Path) -> None:
    page = (built / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", page) == []
    for path in [built / "index.html", *built.glob("*.js"), *built.glob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\w+://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}, path.name
        assert re.findall(r"(inner|outer|Adjacent)HTML|\beval\(|new Function", text) == [], path.name
        assert "server stopped" not in text, path.name


def test_each_module_says_what_it_does() -> None:
    for path in browser._OWN.glob("*.js"):
        assert re.match(r"// [A-Z].*\.", path.read_text(encoding="utf-8")), path.name


def test_the_home_is_a_link(runtime: Path, tmp_path: Path) -> None:
    browser.build(tmp_path / "try", [], home='../?a="b"')
    page = (tmp_path / "try/index.html").read_text(encoding="utf-8")
    assert '<a href="../?a=&quot;b&quot;">Documentation</a>' in page


def test_without_the_runtime_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser, "_RUNTIME", tmp_path / "nowhere")
    monkeypatch.setattr(sys, "argv", ["browser", str(tmp_path / "try")])
    with pytest.raises(SystemExit, match="1"):
        browser.main()
    said = capsys.readouterr().err
    assert said.startswith("onnxruntime-web is not installed (no ")
    assert said.endswith("run: bash .ci/tools\n")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_made_is_one_line(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["browser", str(tmp_path / "file/site/try")])
    with pytest.raises(SystemExit, match=r"^1$"):
        browser.main()
    assert "Not a directory" in capsys.readouterr().err


def test_a_folder_that_exists_is_kept(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="mine exists: delete it, or choose a different folder"):
        browser.build(tmp_path / "mine", [])
    assert (tmp_path / "mine").read_text() == "x"


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ("scenes-convnet-bn", "it is for multi-label, not classification or language-modeling"),
        ("tinyshakespeare-words", "it does not read characters from left to right"),
    ],
)
def test_a_model_that_the_page_cannot_run_is_refused(
    runtime: Path, tmp_path: Path, weights: str, why: str
) -> None:
    with pytest.raises(OptionError, match=f"{weights} cannot run in the browser: {why}"):
        browser.build(tmp_path / "try", [weights])
    assert [path.name for path in tmp_path.iterdir()] == ["runtime"]

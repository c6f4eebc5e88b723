"""Each how-to page, and each lecture, is done from top to bottom, offline, by a reader with its data."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from tests.docs.pages import HOW_TO, ROOT, Block, blocks
from tests.docs.reader import do, type_in
from tests.fake_hub import connected, serving_hub

# What takes minutes is made small, by words added to a training besides one epoch, or put in place of others
TRAININGS = {
    "cifar10-convnet-bn": "--model widths=2,2,2,2,2 --batch-size 512",
    "cifar10-resnet-lite": "--model widths=2,2,2,2,2 --batch-size 512",
    "lstm": "--model hidden_size=8 --model num_layers=1",
    "nietzsche-gru": "--model hidden_size=8",
    "nietzsche-lstm": "--model hidden_size=8 --model num_layers=1",
    "timm/resnet50": "--data size=64",
    "stdlib-lstm": "--model hidden_size=8 --batch-size 512",
}
# Quick ones, whose results a page goes on with
WHOLE = {"shapes-patch-net"}
SMALLER = {
    r"(eval|confusion) (cifar10|shapes)-resnet20(?!\.)": r"\1 shapes-resnet20 --data test_size=40",
    r"\{000\.\.0\d9\}": "{000..001}",
    r"https://example\.org/train": "imgs/train",
    r"eval cifar10-resnet20\.onnx --dataset": "eval opset18.onnx --dataset",
    r"neighbors cifar10-resnet20": "neighbors shapes-resnet20 --data train_size=80",
    r"--indices 0-999?": "--indices 0-9",
    r"(dynamic-evaluation nietzsche-gru|gradient-through-time nietzsche-\w+)": r"\1 opening.txt",
    r"(filters|confusion) (cifar10-[\w-]+)": r"\1 \2 --indices 0-99",
    r"python -m benchmarks (\w+).*": rf"PYTHONPATH={ROOT} python -m benchmarks \1 --help",
    r"bash \.ci/tools": "true",
    r"python -m (sitegen\.\w+|http\.server) .*": rf"PYTHONPATH={ROOT} python -m \1 --help",
    r"(?<==)/data\b": os.environ.get("ZOO_DATA", ""),
    r"torchrun .* -m -- zoo": "python -m torch.distributed.run --standalone --nproc-per-node 2 -m -- zoo",
}
# Packages of extras that a page is about, and that are not among the development tools
EXTRAS = {
    "pretrained-on-imagenet": ("timm",),
    "track": ("tensorboard", "mlflow"),
    "several-runs": ("tensorboard",),
}
# The page that test_without_network does has a pip and environments of its own
PAGES_TO_DO = [page for page in HOW_TO if page.stem != "without-network"]
TUTORIAL = ROOT / "docs" / "tutorial"
LECTURES = [
    ROOT / "docs" / "explanation" / f"{name}.md" for name in ("char-rnn", "convnets", "looking-inside")
]
TEXT = "It was the best of times, it was the worst of times, said the old man. "
DEMO = "zoo train lstm files --data paths=novel.txt --run runs/demo\n"
STATE_DICTS = """python - <<< "
import json, torch, zoo
state = zoo.load('cifar10-resnet20').module.state_dict()
torch.save({'state_dict': {f'module.{name}': value for name, value in state.items()}}, 'resnet20.pth')
torch.save(zoo.create_model('resnet20', image_size=64, num_classes=2).state_dict(), 'pets.pt')
torch.save(zoo.create_model('lstm', vocab_size=3).state_dict(), 'shakespeare.pt')
json.dump([*'ab,'], open('vocabulary.json', 'w'))
"
"""
SHARDS = """python - <<< "
import tarfile
from pathlib import Path
Path('imgs').mkdir()
files = sorted(Path('images').glob('*/*.png'))
for number, name in enumerate(('train-000', 'train-001', 'val-000', 'val-001')):
    with tarfile.open(f'imgs/{name}.tar', 'w') as tar:
        for file in files[number::4]:
            Path('label').write_text(file.parent.name)
            tar.add(file, f'{file.parent.name}-{file.stem}.png')
            tar.add('label', f'{file.parent.name}-{file.stem}.cls')
"
(cd imgs && sha256sum *.tar) > sums.txt
"""
# What a page takes for granted besides images and texts
GIVEN = {
    "check-data": "zoo train resnet20 folder --data root=images --from cifar10-resnet20\n",
    "compare": """
        for run in a b; do zoo train mlp shapes --epochs 1 --data train_size=64 --run runs/$run; done
    """,
    "export": DEMO,
    "completion": "mkdir -p ~/.config/fish/completions\n",
    "evaluate-and-sample": f"""{DEMO}zoo train lstm nietzsche
        (cd images && echo file,labels && for file in */*; do echo "$file,${{file%/*}}"; done) > labels
        mv labels images/labels.csv
    """,
    "import": STATE_DICTS,
    "look-inside": f"{DEMO}zoo train resnet20 folder --data root=images --from cifar10-resnet20\n",
    "model-card": "zoo train resnet20 folder --data root=images --from cifar10-resnet20\n",
    "shards": SHARDS,
    "sign-and-attest": """
        mkdir -p ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
        zoo train mlp shapes --epochs 1 --data train_size=64 --run runs/shapes
    """,
    "pretrained-on-imagenet": f"PYTHONPATH={ROOT} python -m tests.published resnet50.a1_in1k\n",
    "multi-label": """
        echo file,labels > labels
        (cd images && for file in */*; do echo "$file,${file%/*} shape"; done) >> labels
        mv labels images/labels.csv
    """,
}

pytestmark = [
    pytest.mark.nightly,  # some train for half a minute
    pytest.mark.timeout(900),
    pytest.mark.skipif("ZOO_DATA" not in os.environ, reason="needs $ZOO_DATA"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a reader's folder, with the images of the tutorial and with texts."""
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    (draw,) = (block for block in blocks(TUTORIAL / "own-images.md") if ".save(" in block.text)
    do(draw, folder, {})
    shutil.copy(min(Path("images/ring").iterdir()), "cat.jpg")
    shutil.copytree("images/plus", "holiday")
    for name in ("novel.txt", "my.txt", "notes.txt"):
        Path(name).write_text(TEXT * 300, encoding="utf-8")
    Path("opening.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def hub(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a page about the Hub push to a server on this machine."""
    if request.node.callspec.params["page"].stem != "hub":
        yield
        return
    with serving_hub() as hub, connected(hub, folder / "hf" / "hub", monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_HOME", str(folder / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        yield


@pytest.mark.parametrize("page", [*PAGES_TO_DO, *LECTURES], ids=lambda page: page.stem)
def test_every_command_of_a_page_works(page: Path, folder: Path, server: str) -> None:
    for package in EXTRAS.get(page.stem, ()):
        pytest.importorskip(package)
    type_in(small(GIVEN.get(page.stem, "")), folder)
    for block in blocks(page):
        if page.stem.startswith("serve"):
            answered(block, folder, server)
        elif block.language == "console":
            shows(block, folder)
        elif block.script:
            type_in(small(block.script), folder)
        elif "WeightsSpec(" in block.text:
            publish(block, folder)
        elif block.file or re.search(r"\bzoo\.\w+\(", block.text):
            do(block, folder, {"zoo": zoo})


def answered(block: Block, folder: Path, server: str) -> None:
    """Do what a block says to a server, or look whether it could be started as it says."""
    asked = block._replace(text=block.text.replace("http://127.0.0.1:8000", server))
    if asked.language == "python":
        exec(compile(asked.text, "<page>", "exec"), {})
    elif asked.script:
        script = re.sub(r"^(zoo serve .*)$", r"\1 --help", asked.script, flags=re.M)
        assert '"error": {' not in type_in(script.replace("curl ", "curl -fsS "), folder)
    for words in re.findall(r"^ExecStart=\S+/(zoo .*)$", block.text, re.M):
        type_in(f"{words} --help", folder)


@pytest.fixture
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Return the address of the server that a page about serving starts; of none on other pages."""
    if not request.node.callspec.params["page"].stem.startswith("serve"):
        yield ""
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["serve", "cifar10-resnet20", "nietzsche-rnn", "--port", str(port), "--quiet"]
    with subprocess.Popen([sys.executable, "-m", "zoo", *words], cwd=folder) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def small(script: str) -> str:
    """Return a script whose trainings take an epoch, or two where the page says a number."""
    lines: list[str] = []
    for line in script.replace("\\\n", " ").splitlines():
        command = re.sub(r"--epochs \d+", "--epochs 2", line.partition("  #")[0])
        if training := re.search(r"\bzoo train (\S+)", command):
            one = "" if "--epochs" in command or training[1] in WHOLE else "--epochs 1"
            command = f"{command} {one} {TRAININGS.get(training[1], '')}"
        for words, others in SMALLER.items():
            command = re.sub(words, others, command)
        lines.append(command)
    return "\n".join(lines)


def shows(block: Block, folder: Path) -> None:
    """Type the commands of a block; fail if they print something else than it shows (`...` is anything)."""
    shown = "".join(line for line in block.text.splitlines(keepends=True) if not line.startswith("$ "))
    printed = type_in(f"set +e\n{block.script}", folder)
    printed = printed.replace(str(folder), "/home/you/nets")
    assert re.fullmatch(re.escape(shown).replace(r"\.\.\.", r"\S*"), printed), printed


def publish(block: Block, folder: Path) -> None:
    """Add the weights that a block is about to the plugin, with the figures of the reader's own run."""
    (run,) = folder.glob("runs/*/model.safetensors")
    file = run.read_bytes()
    evaluated = json.loads(type_in(f"zoo eval {run} --json --quiet", folder))
    own = {
        "sha256": repr(hashlib.sha256(file).hexdigest()),
        "bytes": len(file),
        "metrics": {"test": evaluated["metrics"]},
    }
    text = block.text
    for field, value in own.items():
        text = re.sub(rf"(?<=\b{field}=).*(?=,\n)", str(value), text)
    (plugin,) = folder.glob("zoo-*/zoo_*/plugin.py")
    source = plugin.read_text(encoding="utf-8").replace("import ", "import WeightsSpec, ", 1)
    plugin.write_text(f"{source}\n\n{text}", encoding="utf-8")

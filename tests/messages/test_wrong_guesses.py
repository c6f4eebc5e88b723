"""What users of timm, transformers, Keras and fastai try first ends in one line that names zoo's way."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zoo

SMALL: dict[str, Any] = {"train_size": 16, "val_size": 8, "test_size": 8, "size": 16}
QUIET: dict[str, Any] = {"progress": False}

# What is tried, what its one line must name, and what to do after reading it
GUESSES = [
    # the module
    ("zoo.from_pretrained('shapes-camnet')", "zoo.load(NAME)", "zoo.load(weights)"),
    ("zoo.AutoModel.from_pretrained('shapes-camnet')", "zoo.load(NAME)", "zoo.load(weights)"),
    ("zoo.load_model('shapes-camnet')", "zoo.load(NAME)", "zoo.load(weights)"),
    ("zoo.get_model('shapes-camnet')", "zoo.load(NAME)", "zoo.load(weights)"),
    ("zoo.load_learner('export.pkl')", "zoo.load(NAME)", "zoo.load(weights)"),
    ("zoo.pipeline('image-classification')", "a trained model, which can",
     "zoo.load(weights).predict(image)"),
    ("zoo.generate('shapes-camnet')", "a trained model, which can",
     "zoo.load(text_weights).sample(max_new_tokens=3)"),
    ("zoo.evaluate('shapes-camnet')", "a trained model, which can", "zoo.load(weights).evaluate('test')"),
    ("zoo.predict('shapes-camnet', 'a.png')", "a trained model, which can",
     "zoo.load(weights).predict(image)"),
    ("zoo.load_dataset('shapes')", "zoo.open_dataset(NAME)", "zoo.open_dataset('shapes', **small)"),
    ("zoo.Trainer(model=None)", "zoo.train('resnet20', 'shapes')", "train()"),
    ("zoo.fit('resnet20')", "zoo.train('resnet20', 'shapes')", "train()"),
    ("zoo.vision_learner('resnet20')", "zoo.train('resnet20', 'shapes')", "train()"),
    ("zoo.lr_finder()", "did you mean 'lr_find'?", "zoo.lr_find"),
    ("zoo.AutoTokenizer", "did you mean 'tokenize'?", "zoo.tokenize('a b', 'word')"),
    ("zoo.list_architectures()", "did you mean 'list_models'?", "zoo.list_models()"),
    ("zoo.trian('resnet20', 'shapes')", "did you mean 'train'?", "train()"),
    # a model
    ("model.eval()", "model.module is already in evaluation mode", "model.module.training is False"),
    ("model.to('cuda')", "device='cuda'", "zoo.load(weights, device='cpu')"),
    ("model.cuda()", "device='cuda'", "zoo.load(weights, device='cpu')"),
    ("model.save('m.pt')", "model.path", "model.path.exists()"),
    ("model.save_pretrained('m')", "model.path", "model.path.exists()"),
    ("model.state_dict()", "model.module.state_dict", "model.module.state_dict()"),
    ("model.parameters()", "model.module.parameters", "list(model.module.parameters())"),
    ("model.config", "model.card", "model.card"),
    ("model.generate('a')", "did you mean 'sample'?", "text_model.sample('a', max_new_tokens=3)"),
    ("model.forward_features(None)", "did you mean 'features'?", "model.features(image)"),
    ("model.summary()", "model.num_parameters", "model.num_parameters"),
    ("model.fit(None)", "from_weights=model.path", "train(from_weights=model.path)"),
    ("model.predict_proba(None)", "model.predict(INPUTS, top=3)", "model.predict(image, top=3)"),
    ("model.show_results()", "model.analyzers", "model.analyzers[0]"),
    ("model.export_onnx('m.onnx')", "model.export('model.onnx')", "model.export"),
    ("model.vocab", "did you mean 'vocabulary'?", "text_model.vocabulary"),
    ("model.id2label", "did you mean 'classes'?", "model.classes"),
    ("model.validate()", "did you mean 'evaluate'?", "model.evaluate()"),
    # a run
    ("run.save('m')", "run.model.path is its weights file", "run.model.path"),
    ("run.fit()", "zoo.resume(run.directory)", "zoo.resume"),
    ("run.metrics", "run.history", "run.history[0]['val']"),
    ("run.best_model", "did you mean 'model'?", "run.model"),
    ("run.predict('a.png')", "run.model.predict(...)", "run.model.predict(image)"),
    ("run.plot_losses()", "did you mean 'plot'?", "run.plot()"),
    ("run.output_dir", "did you mean 'directory'?", "run.directory"),
    # keywords
    ("zoo.create_model('resnet20', pretrained=True)", "zoo.load(NAME)", "zoo.load(weights)"),
    ("zoo.create_model('resnet20', in_chans=1)", "'in_channels'",
     "zoo.create_model('resnet20', in_channels=1)"),
    ("zoo.create_model('lstm', drop_rate=0.1)", "'dropout'", "zoo.create_model('lstm', dropout=0.1)"),
    ("zoo.create_model('lstm', bidirectional=True)", "has no option 'bidirectional'",
     "zoo.create_model('lstm')"),
    ("zoo.list_models(pretrained=True)", "zoo.list_weights()", "zoo.list_weights()"),
    ("zoo.list_models(filter='res*')", "'pattern'", "zoo.list_models(pattern='res*')"),
    ("zoo.open_dataset('shapes', split='train')", ".split('train')",
     "zoo.open_dataset('shapes', **small).split('val')"),
    ("zoo.open_dataset('shapes', image_size=8)", "'size'", "zoo.open_dataset('shapes', **small)"),
    ("model.predict(image, topk=3)", "'top'", "model.predict(image, top=3)"),
    ("model.predict(image, top_k=3)", "'top'", "model.predict(image, top=3)"),
    ("list(model.predict(image, k=3))", "'top'", "list(model.predict(image, top=3))"),
    ("text_model.sample('a', length=3)", "'max_new_tokens'", "text_model.sample('a', max_new_tokens=3)"),
    ("text_model.sample('a', do_sample=False)", "temperature=0",
     "text_model.sample('a', temperature=0, max_new_tokens=3)"),
    ("train(weights='shapes-camnet')", "'from_weights'", "train(from_weights=weights)"),
    ("train(pretrained=True)", "'from_weights'", "train(from_weights=weights)"),
    ("train(checkpoint='m.pt')", "'from_weights'", "train(from_weights=weights)"),
    ("train(max_epochs=1)", "'epochs'", "train(epochs=1)"),
    ("train(num_epochs=1)", "'epochs'", "train(epochs=1)"),
    ("train(learning_rate=0.1)", "'lr'", "train(lr=0.1)"),
    ("train(bs=4)", "'batch_size'", "train(batch_size=4)"),
    ("train(callbacks=[])", "run.history", "run.history"),
    ("train(optimizer=print)", "optimizer must be a string", "train(optimizer='sgd')"),
    ("train(verbose=0)", "'progress'", "train(progress=False)"),
    ("train(gpus=1)", "'device'", "train(device='cpu')"),
    ("train(nonsense=1)", "has no option 'nonsense'", "train()"),
    # names
    ("zoo.create_model('cifar10-resnet20')", "zoo.load('cifar10-resnet20')", "zoo.load(weights)"),
    ("zoo.create_model('shapes')", "it is a dataset", "zoo.open_dataset('shapes', **small)"),
    ("zoo.open_dataset('resnet20')", "it is an architecture", "zoo.create_model('resnet20')"),
    ("zoo.open_dataset('imagenet')", "'folder'", "'folder' in zoo.list_datasets()"),
    ("zoo.load('mlp-mixer')", "zoo list weights", "zoo.list_weights()"),
    ("zoo.load('shapes')", "it is a dataset", "zoo.list_weights()"),
]  # fmt: skip


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the guesses are tried with: a trained model of images and one of text."""
    import numpy as np

    folder = tmp_path_factory.mktemp("runs")
    count = iter(range(1_000))

    def train(**fields: Any) -> zoo.Run:
        given: dict[str, Any] = {"model": {"widths": [4]}, "data": SMALL, "epochs": 1, "batch_size": 8}
        return zoo.train("mlp", "shapes", run=folder / str(next(count)), **given | QUIET | fields)

    (folder / "fox.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 60)
    text = zoo.train(
        "lstm", "files", run=folder / "text", data={"paths": str(folder / "fox.txt")},
        model={"hidden_size": 4, "num_layers": 1}, batch_size=8, epochs=1, **QUIET,
    )  # fmt: skip
    run = train()
    image = np.zeros((16, 16, 3), np.uint8)
    return {
        "zoo": zoo, "run": run, "model": run.model, "text_model": text.model, "train": train, "image": image,
        "small": SMALL, "weights": run.directory, "text_weights": text.directory,
    }  # fmt: skip


@pytest.mark.parametrize(("tried", "named", "then"), GUESSES, ids=[tried for tried, *_ in GUESSES])
def test_a_guess_ends_in_one_line_that_names_the_way(
    tried: str, named: str, then: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AttributeError, zoo.ZooError)) as caught:
        eval(tried, names)
    line = str(caught.value)
    assert named in f"{line} {getattr(caught.value, 'hint', '') or ''}"
    assert "\n" not in line
    assert len(line) < 200
    assert not [*tmp_path.iterdir()], "nothing was trained"
    assert eval(then, names) is not None


def test_there_are_many() -> None:
    assert len(GUESSES) >= 60


@pytest.mark.parametrize("owner", ["zoo", "model", "run"])
def test_a_guessed_attribute_is_not_there(owner: str, names: dict[str, Any]) -> None:
    for name in (
        "eval",
        "save",
        "from_pretrained",
        "nonsense",
        "_repr_html_",
        "__wrapped__",
        "_ipython_display_",
    ):
        assert not hasattr(names[owner], name)
    assert "eval" not in dir(names[owner])


@pytest.mark.parametrize("owner", ["model", "run"])
def test_a_model_and_a_run_are_copied(owner: str, names: dict[str, Any]) -> None:
    assert type(copy.copy(names[owner])) is type(names[owner])


def test_the_error_inside_a_property_is_its_own() -> None:
    class Broken(zoo.Model):
        @property
        def classes(self) -> list[str]:
            raise AttributeError("something else is missing")

    with pytest.raises(AttributeError, match="something else is missing"):
        Broken.__new__(Broken).classes  # noqa: B018


READING = """
import sys
opened = []
sys.addaudithook(lambda event, details: opened.append(str(details[0])) if event == "open" else None)
import zoo
zoo.list_models()
print(any("synonyms.toml" in path for path in opened))
hasattr(zoo, "AutoModel")
print(any("synonyms.toml" in path for path in opened))
"""


def test_what_others_call_things_is_read_only_for_a_wrong_name() -> None:
    done = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]

"""What is typed by mistake, and what is printed: exit code, and what the line and its hint must contain.

A row is typed in the folder of a fixture of `conftest.py`, under whose name it stands. What follows the text
is what the user types next, which works.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["CHEAP", "RECIPE", "TABLE", "Message", "messages"]


class Message(NamedTuple):
    """A row: what is typed, the exit code, what must be printed (`…` between parts), and what then works."""

    typed: str
    code: int
    says: str
    then: str = ""


URL = "https://example.org/x"
RECIPE = "train fox-lstm --run out"
FILES = "train lstm files --data paths=fox.txt --model hidden_size=4 --epochs 1 --run out"
TRAIN = "train mlp shapes --run out"
LSTM = "train lstm files --data paths=fox.txt"
NET = "train resnet-lite shapes --data train_size=64 --data val_size=16 --data test_size=16 --run out"
FIND = "lr-find lstm files --data paths=fox.txt --model hidden_size=16 --batch-size 8 --steps 25"
OUTPUT = "the output must be a .csv, .jsonl or .npy file, or a new folder"
INDICES = "--indices must look like 0,5,9 or 0-99"

# Found before data and torch are loaded
CHEAP: dict[str, list[tuple[str, int, str]]] = {
    "nothing": [
        # names
        ("train nitzsche", 1, "unknown recipe 'nitzsche'"),
        ("train lstn stdlib", 1, "unknown architecture 'lstn'; did you mean 'lstm'?"),
        ("train lstm stdlob", 1, "unknown dataset 'stdlob'"),
        (
            "train lstm shapes",
            1,
            "charrnn/lstm is for language-modeling, but images/shapes is for classification",
        ),
        ("analyze grad-can shapes-resnet20", 1, "unknown analyzer 'grad-can'; did you mean 'grad-cam'?"),
        (
            "analyze heatmap shapes-resnet20",
            1,
            "unknown analyzer 'heatmap' … analyzers: activations, batch-statistics, calibration, cam, ",
        ),
        (
            "show resnet",
            1,
            "did you mean 'resnet … or 'resnet56'? … `zoo list resnet` shows the names that contain it",
        ),
        ("predict shapes-resnet2 x.png", 1, "unknown weights 'shapes-resnet2'"),
        ("eval runs/nope", 1, "no such file or run directory: runs/nope"),
        ("resume runs/nope", 1, "no such run directory: runs/nope … `zoo train` starts a run"),
        # training options
        ("train lstm stdlib --epochs 0", 2, "--epochs must be at least 1 (got 0)"),
        ("train lstm stdlib --mixup-alpha 0.2", 2, "--mixup-alpha does not apply"),
        (
            "train resnet20 shapes --ema-decay 0.9 --nonmono 5",
            2,
            "--ema-decay=0.9 and --nonmono=5 cannot be combined; set one to 0",
        ),
        ("train lstm stdlib --save-every often", 2, "save interval must be a step count (500)"),
        ("train lstm stdlib --processes 0", 2, "--processes must be between 1 and 1,024 (got 0)"),
        ("train lstm stdlib --threads -1", 2, "--threads must be at least 0 (got -1)"),
        ("train lstm stdlib --threads 9999", 2, "--threads must be at most "),
        ("train lstm stdlib --from nietzsche-rnn", 1, "but the model is charrnn/lstm"),
        ("train lstm stdlib --from runs/nope", 1, "no such file or run directory: runs/nope"),
        # data
        ("train convnet-bn folder", 2, "dataset images/folder requires root"),
        ("train convnet-bn folder --data root=/nope", 1, "folder '/nope' does not exist"),
        ("train convnet-bn folder --data root=/dev/null", 1, "'/dev/null' is not a folder"),
        ("train mlp folder --data root=t.csv", 1, "does not exist … a table in it … is called labels.csv"),
        ("train lstm files --data rate=1", 2, "dataset text/files requires paths"),
        # devices
        ("train lstm stdlib --device gpu", 2, "unknown device 'gpu'; did you mean 'cuda'?"),
        ("train lstm stdlib --device cuda:x", 2, "unknown device 'cuda:x'"),
        ("lr-find lstm stdlib --device gpu", 2, "unknown device 'gpu'"),
        ("eval shapes-resnet20 --device gpu", 2, "unknown device 'gpu'"),
        ("predict shapes-resnet20 x.png --device cuda:x", 2, "unknown device 'cuda:x'"),
        ("analyze cam shapes-resnet20 --device gpu", 2, "unknown device 'gpu'"),
    ],
    "runs": [
        ("train lstm stdlib --run taken", 1, "taken already contains a run"),
        ("train lstm stdlib --run used", 1, "used is in use by process "),
        ("train lstm stdlib --run file", 1, "file is a file, not a folder"),
        ("train lstm stdlib --run foreign", 1, "foreign has no checkpoint, but contains model.safetensors"),
        ("resume used", 1, "used is in use by process "),
        ("analyze cam shapes-resnet20 --out file", 1, "file is a file, not a folder"),
    ],
}

TABLE: dict[str, list[tuple[str, int, str] | tuple[str, int, str, str]]] = {
    "nothing": [
        # commands
        ("trian", 2, "unknown command 'trian'; did you mean 'train'?"),
        ("lr_find", 2, "unknown command 'lr_find'; did you mean 'lr-find'?"),
        ("ls", 2, "unknown command 'ls'; did you mean `zoo list`?", "list"),
        ("models", 2, "unknown command 'models'; did you mean `zoo list models`?"),
        ("evaluate runs/x", 2, "unknown command 'evaluate'; did you mean 'eval'?"),
        ("classify runs/x cat.jpg", 2, "did you mean `zoo predict`?"),
        ("generate runs/x", 2, "did you mean `zoo sample`?"),
        ("help", 2, "unknown command 'help'; did you mean `zoo --help`?", "--help"),
        ("info lstm", 2, "did you mean `zoo show`", "show lstm"),
        ("finetune mlp shapes", 2, "`zoo train ARCHITECTURE DATASET --from WEIGHTS`"),
        ("nietzsche-gru", 2, "unknown command 'nietzsche-gru'; did you mean `zoo train nietzsche-gru`?"),
        ("lstm nietzsche", 2, "unknown command 'lstm'; did you mean `zoo train lstm nietzsche`?"),
        ("lstm", 2, "unknown command 'lstm'; did you mean `zoo show lstm`?"),
        ("xyzzy", 2, "unknown command 'xyzzy'"),
        # options
        ("list --jsn", 2, "no such option: --jsn; did you mean `--json`?"),
        ("list --quiet=1", 2, "option '--quiet' does not take a value"),
        ("list --where", 2, "option '--where' requires an argument"),
        ("--plugin= list", 2, "option '--plugin' requires an argument"),
        ("completion powershell", 2, "must be one of 'bash', 'fish', 'zsh' (got 'powershell')"),
        # words that are missing, or too many
        ("eval", 2, "missing WEIGHTS"),
        ("train", 2, "give a recipe, or an architecture and a dataset"),
        ("lr-find --steps 9", 2, "give a recipe, or an architecture and a dataset"),
        ("predict ./done", 2, "missing INPUT"),
        ("new-plugin", 2, "missing NAME"),
        ("new-plugin x", 2, "missing --kind, one of architecture, dataset, analyzer, task"),
        ("list weight s x", 2, "got unexpected extra argument (x)"),
        # values of options
        ("sample x --max-new-tokens many", 2, "--max-new-tokens must be an integer (got 'many')"),
        (
            "sample x --temperatures 1,hot",
            2,
            "--temperatures must be a list, each item a number (got '1,hot')",
        ),
        (
            "sample x --temperatures 0.5,1 --temperature 2",
            2,
            "--temperature and --temperatures cannot be combined",
        ),
        ("sample x --temperature hot", 2, "--temperature must be a number (got 'hot')"),
        ("sample x --prompt a --prompt-file -", 2, "--prompt and --prompt-file cannot be combined"),
        (
            "eval x --split tst",
            2,
            "--split must be one of 'test', 'train', 'val' (got 'tst'); did you mean 'test'?",
        ),
        ("eval x --split training", 2, "did you mean 'train'?"),
        ("eval x --split validation", 2, "'val' (got 'validation')"),
        ("analyze cam x --draw -1", 2, "--draw must be at least 0 (got -1)"),
        ("analyze cam x --indices one", 2, f"{INDICES} (got 'one')"),
        (f"analyze cam x --indices 0-{10**20}", 2, f"{INDICES} (got '0-{10**20}')"),
        ("new-plugin x --kind metrik", 2, "'recipe' (got 'metrik'); did you mean 'metric'?"),
        ("serve x --port 99999999", 2, "--port must be in the range 0<=x<=65535 (got 99999999)"),
        ("sweep mlp shapes --over widths=4,8", 2, "no option 'widths' … vary them in a sweep as model.NAME"),
        # what is listed and shown
        ("list datset x", 2, "KIND must be one of architectures, datasets, analyzers, recipes, "),
        ("list recipies", 1, "did you mean 'recipes'?", "list recipes"),
        ("list --where task", 2, "--where: 'task' is not a comparison"),
        ("list models --task x", 2, "--where task=x", "list models --where task=multi-label"),
        (
            "list models --where param<1",
            2,
            "no entry of kind architecture has the key 'param'; did you mean 'params'?",
        ),
        (
            "list datasets --where params<1",
            2,
            "no entry of kind dataset has the key 'params' … download_bytes",
        ),
        ("list --where 'task=classification and color!=red'", 2, "has the key 'color' … keys: "),
        ("list nix", 1, "no matches for 'nix'"),
        ("list resnt20", 1, "no matches for 'resnt20'; did you mean 'resnet20'?"),
        ("list weights resnet21", 1, "no matches for 'resnet21'"),
        ("list pretrained", 1, "unknown kind 'pretrained'; did you mean `zoo list weights`?"),
        ("list \udcff", 1, r"no matches for '\udcff'"),
        ("show lstn", 1, "did you mean 'lstm'?", "show lstm"),
        ("show resnet2", 1, "did you mean 'resnet2"),
        ("show imagenet", 1, "'folder' with root=FOLDER to read your own images"),
        ("show files --data lower=true", 2, "add --data paths=..."),
        (
            "show lstm --data lower=true",
            2,
            "data options apply only to datasets, but charrnn/lstm is of kind architecture",
        ),
        ("show nietzsche-lstm --data lower=true", 2, "nietzsche-lstm is of kind recipe"),
        ("show stdlib --batch-size 3", 2, "`zoo show` does not accept --batch-size"),
        ("show stdlib --data lowr=true", 2, "has no option 'lowr'; did you mean 'lower'?"),
        ("show stdlib --data 'splits=[1, 2]'", 2, "splits must be three percentages"),
        ("plugins --traceback tex", 1, "unknown plugin 'tex'; did you mean 'text'?"),
        ("check nothere/net", 1, "`zoo plugins` lists all plugins … run `zoo check nothere.py`"),
        ("check txet", 1, "unknown plugin or distribution 'txet'; did you mean 'text'?"),
        ("check zoo-registri", 1, "did you mean 'zoo-registry'?"),
        ("check nowhere.py", 1, "no such file: nowhere.py"),
        (
            "check cam/egen-cam",
            1,
            "plugin cam has no entry, recipe or weights 'egen-cam'; did you mean 'eigen-cam'?",
        ),
        # names of plugins
        *(
            (f"new-plugin '{name}' --kind dataset", 2, f"invalid plugin name {name!r}")
            for name in ("My-Net", "3d", "a--b", "../x", "class", "none", "dataset", "plugin", "net", "")
        ),
        *(
            (f"new-plugin {name} --kind {kind}", 2, f"the name {name!r} is already taken")
            for name, kind in (
                ("charrnn", "architecture"),
                ("lstm", "architecture"),
                ("train", "command"),
                ("predict", "command"),
                ("stdlib-lstm", "recipe"),
                ("convnet-bn", "recipe"),
                ("multi-label", "task"),
            )
        ),
        *(
            (
                f"new-plugin mine --kind {kind} --task classification",
                2,
                f"--task cannot be used with --kind {kind} (got 'cl",
            )
            for kind in ("command", "recipe", "task")
        ),
        (
            "new-plugin mine --kind metric --task classification",
            2,
            "--task cannot be used with --kind metric … change `tasks` in plugin.py",
        ),
        ("inspect none", 1, "unknown weights 'none'"),
        ("inspect cifar10-resnet20x", 1, "did you mean 'cifar10-resnet20'?"),
        (
            "inspect resnet20",
            1,
            "this is an architecture; its published weights: cifar10-resnet20, shapes-resnet20",
        ),
        ("inspect .", 1, ". is a folder without a run … `zoo train` creates run directories"),
        ("eval none.safetensors", 1, "no such file or run directory: none.safetensors … `zoo list weights`"),
        # an architecture, a dataset or a recipe, and its options
        ("train nietzche-lstm", 1, "unknown recipe 'nietzche-lstm'; did you mean 'nietzsche-lstm'?"),
        ("train lstm nietzsche", 1, "nietzsche.txt … ZOO_OFFLINE … https://"),
        ("train lstm", 1, "the architecture lstm requires a dataset: lstm DATASET"),
        ("train shapes", 1, "the dataset shapes requires an architecture: ARCHITECTURE shapes"),
        ("train stdlib lstm", 1, "the architecture comes first: lstm stdlib"),
        ("train lstm resnet20", 1, "unknown dataset 'resnet20'; it is an architecture"),
        ("train 'mlp shapes'", 1, "`zoo train mlp shapes`"),
        ("train resnet20 stdlib", 1, "`zoo list datasets --where task=classification`"),
        ("train resnet20 imagenet", 1, "use the dataset 'folder' with root=FOLDER to read your own images"),
        ("train mlp shapes --from nothere", 1, "`zoo list weights`"),
        ("train resnet20 shapes --epochs 1.5", 2, "--epochs must be an integer (got 1.5)"),
        (
            "train resnet20 shapes --augment crop,flop",
            2,
            "unknown augmentation 'flop'; did you mean 'flip'?",
        ),
        ("train resnet20 shapes --label-smoothing 1", 2, "--label-smoothing must be less than 1 (got 1)"),
        ("train lstm stdlib --model a=x", 2, "charrnn/lstm has no option 'a'"),
        ("train lstm stdlib --model hidden_size=x", 2, "hidden_size must be an integer (got 'x')"),
        ("train lstm stdlib --model hidden_size=-1", 2, "hidden_size must be at least 1 (got -1)"),
        ("train --arch mlp --data shapes", 2, "omit the option: `zoo train ARCHITECTURE DATASET`"),
        ("train mlp --dataset shapes", 2, "omit the option: `zoo train ARCHITECTURE DATASET`"),
        (f"{TRAIN} --pretrained", 2, "`--from ...`"),
        (f"{TRAIN} --gpu", 2, "`--device cuda`"),
        (f"{TRAIN} --num-workers 4", 2, "`--threads 4`"),
        (f"{TRAIN} --image-size 32", 2, "`--data size=32`"),
        (f"{TRAIN} --config x.yaml", 2, "`zoo train --help`"),
        (f"{TRAIN} --lr=-1", 2, "--lr must be greater than 0 (got -1)"),
        (f"{TRAIN} --optimizer lyon", 2, "unknown optimizer 'lyon'; did you mean 'lion'?"),
        (f"{TRAIN} --schedule cosin", 2, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        (f"{TRAIN} --optimizer lion --optimizer-option beta=1", 2, "has no option 'beta'; did you mean"),
        (f"{TRAIN} --optimizer lion --optimizer-option beta2=x", 2, "beta2 must be a number (got 'x')"),
        (f"{TRAIN} --optimizer lion --optimizer-option beta2", 2, "--optimizer-option expects KEY=VALUE"),
        (f"{TRAIN} --optimizer nadam --momentum 0.5", 2, "--momentum=0.5 has no effect"),
        (f"{NET} --optimizer muon", 2, "--optimizer=muon requires hidden matrices"),
        (f"{NET} --lr-scale tail=2", 2, "--lr-scale=tail matches no parameter"),
        (f"{NET} --augment-option crop.p=1 --augment crop", 2, "images/crop has no option 'p'"),
        (
            f"{NET} --augment-option flip.p=1 --augment crop",
            2,
            "'flip.p' is not an option of the selected aug",
        ),
        (f"{NET} --metric macrof1", 2, "unknown metric 'macrof1'; did you mean 'macro-f1'?"),
        (f"{NET} --metric token-accuracy", 2, "is for language-modeling, not for classification"),
        (f"{NET} --metric focal-loss", 2, "focal-loss is not a metric … choose one of: macro-f1, mcc"),
        (f"{NET} --loss mcc", 2, "images/mcc is not a loss … choose one of: focal-loss"),
        (f"{NET} --metric-option mcc.a=1", 2, "'mcc.a' is not an option of the selected metrics"),
        ("eval stdlib-lstm --metric mcc", 2, "images/mcc is for classification, not for language-modeling"),
        (f"{TRAIN} --data root", 2, "--data expects KEY=VALUE (got 'root')"),
        (f"{TRAIN} --model widths=wide", 2, "widths must be a list, each item an integer (got 'wide')"),
        (f"{NET} --layer-decay 2", 2, "--layer-decay must be at most 1 (got 2)"),
        (f"{NET} --augment zoom", 2, "unknown augmentation 'zoom'"),
        (f"{NET} --mixup-alpha -1", 2, "--mixup-alpha must be at least 0 (got -1)"),
        (f"{NET} --model 'widths=[]'", 2, "convnet/resnet-lite: widths must be"),
        (
            f"{NET} --data size=16 --model 'widths=[4, 4, 4, 4, 4, 4]'",
            1,
            "image_size must be at least 32 to be halved 5 times (got 16)",
        ),
        # a URL where a path belongs
        (f"predict shapes-resnet20 {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"predict shapes-resnet20 x.png --out {URL}.csv", 2, f"'{URL}.csv' is a URL, not a path"),
        (f"embed shapes-resnet20 {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"analyze cam shapes-resnet20 {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"eval {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"train mlp shapes --run {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"train mlp shapes --from {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"train mlp folder --data root={URL}", 1, f"there is no folder '{URL}'"),
        (f"lr-find mlp shapes --plot {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"resume {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"new-plugin mine --kind dataset --out {URL}", 2, f"'{URL}' is a URL, not a path"),
        (f"check cam --report {URL}.md", 2, f"'{URL}.md' is a URL, not a path"),
    ],
    "texts": [
        # a training option that another tool calls something else: what is named is typed in `test_messages`
        (f"{RECIPE} epochs=2", 2, "--epochs 2"),
        (f"{RECIPE} lr=0.1", 2, "--lr 0.1"),
        (f"{RECIPE} batch_size=4", 2, "--batch-size 4"),
        (f"{RECIPE} learning_rate=0.1", 2, "--lr 0.1"),
        (f"{RECIPE} --epoch 2", 2, "--epochs 2"),
        (f"{RECIPE} --num-epochs 2", 2, "--epochs 2"),
        (f"{RECIPE} --max_epochs 2", 2, "--epochs 2"),
        (f"{RECIPE} --learning-rate 0.1", 2, "--lr 0.1"),
        (f"{RECIPE} -lr 0.1", 2, "--lr 0.1"),
        (f"{RECIPE} --batch_size 4", 2, "--batch-size 4"),
        (f"{RECIPE} --bs 4", 2, "--batch-size 4"),
        (f"{RECIPE} --batch 4", 2, "--batch-size 4"),
        (f"{RECIPE} --optim sgd", 2, "--optimizer sgd"),
        (f"{RECIPE} --wd 0.1", 2, "--weight-decay 0.1"),
        (f"{RECIPE} --scheduler cosine", 2, "--schedule cosine"),
        (f"{RECIPE} --warmup 1", 2, "--warmup-epochs 1"),
        (f"{RECIPE} --max-grad-norm 1", 2, "--clip-grad-norm 1"),
        (f"{RECIPE} --block-size 8", 2, "--bptt 8"),
        (f"{RECIPE} --accumulate 2", 2, "--grad-accum-steps 2"),
        (f"{RECIPE} --jitter", 2, "--bptt-jitter"),
        (f"{RECIPE} --hidden-size 8", 2, "--model hidden_size=8"),
        (f"{RECIPE} hidden_size=8", 2, "--model hidden_size=8"),
        (f"{RECIPE} --dropout 0.1", 2, "--model dropout=0.1"),
        (f"{RECIPE} --lower true", 2, "--data lower=true"),
        (f"{FILES} --model num_layers=1 dropout=0.1", 2, "--model dropout=0.1"),
        (f"{FILES} --model lr=0.1", 2, "--lr 0.1"),
        (f"{FILES} --data batch_size=4", 2, "--batch-size 4"),
        # values
        (f"{RECIPE} --optimizer Adam", 2, "did you mean 'adam'?", f"{RECIPE} --optimizer adam"),
        (f"{RECIPE} --precision float32", 2, "'fp32' (got 'float32')", f"{RECIPE} --precision fp32"),
        (f"{RECIPE} --epochs two", 2, "--epochs must be an integer (got 'two')"),
        (f"{RECIPE} --lr 1e-3x", 2, "--lr must be a number (got '1e-3x')", f"{RECIPE} --lr 1e-3"),
        (f"{RECIPE} --model num_layers", 2, "--model expects KEY=VALUE (got 'num_layers')"),
        # names
        ("train fox_lstm --run out", 1, "did you mean 'fox-lstm'?", RECIPE),
        ("train FOX-LSTM --run out", 1, "did you mean 'fox-lstm'?"),
        ("train LSTM files", 1, "did you mean 'lstm'?", FILES),
        ("train lstm file", 1, "did you mean 'files'?"),
        ("train fox-lstm files", 1, "omit files"),
        ("train lstm fox.txt --run out", 1, "zoo train lstm files --data paths=fox.txt"),
        ("train lstm ./fox.txt --run out", 1, "zoo train lstm files --data paths=./fox.txt"),
        ("train fox.txt", 1, "`zoo train ARCHITECTURE files --data paths=fox.txt` uses it"),
        ("inspect fox-lstm", 1, "it is a recipe", "show fox-lstm"),
        # data
        ("train lstm files --run out", 2, "--data paths=..."),
        ("train lstm files --data path=fox.txt", 2, "text/files has no option 'path'; did you mean 'paths'?"),
        ("train convnet-bn folder --data rot=x", 2, "has no option 'rot'; did you mean 'root'?"),
        ("train lstm files --paths fox.txt --epochs 1", 2, "--data paths=fox.txt"),
        ("train lstm files --data paths=none.txt", 1, "there is no file … none.txt"),
        ("train lstm files --data paths=empty.txt", 1, "empty.txt is empty"),
        ("train lstm files --data paths=latin1.txt", 1, "latin1.txt is not utf-8 … encoding="),
        (f"{LSTM} --data encoding=utf-9", 1, "unknown encoding 'utf-9'"),
        (
            "train lstm files --data paths=short.txt",
            1,
            "the training split must be longer than bptt=16 tokens (got 4) … lower --bptt to 3",
        ),
        (
            "train lstm files --data paths=short.txt --bptt 2",
            1,
            "the training split has 4 tokens, too few for batch_size=8 … lower --batch-size to 1",
        ),
        # an unknown option is found before the data is opened
        (
            "train lstm files --data paths=nope --model hiden_size=3",
            2,
            "'hiden_size'; did you mean 'hidden_size'?",
        ),
        ("train lstm files --data paths=nope --data lowr=true", 2, "'lowr'; did you mean 'lower'?"),
        # runs
        (f"{FILES} --output-dir x", 2, "--run x"),
        (f"{LSTM} --run fox.txt/run", 1, "cannot be used as a run directory"),
        (f"{LSTM} --run fox.txt", 1, "fox.txt is a file, not a folder … a different --run folder"),
        (f"{RECIPE} --from-weights ./done", 2, "--from ./done", f"{RECIPE} --from ./done"),
        (f"{RECIPE} --pretrained ./done", 2, "--from ./done", f"{RECIPE} --from ./done"),
        ("train fox-lstm --run done", 1, "evaluate it with `zoo eval ./done`", "eval ./done"),
        ("train done", 1, "`zoo resume done`"),
        ("train done/model.safetensors", 1, "--from done/model.safetensors"),
        ("resume done/model.safetensors", 1, "`zoo resume done`", "resume done"),
        (
            "resume pruned/done",
            1,
            "pruned/done cannot be resumed: it has no checkpoint … `zoo runs prune` … --from pruned/done",
            f"{RECIPE} --from pruned/done",
        ),
        ("show ./done", 1, "`zoo inspect ./done`", "inspect ./done"),
        ("eval done", 1, "did you mean ./done?"),
        ("eval ./dome", 1, "did you mean './done'?"),
        ("eval ./done --subset val", 2, "--split val", "eval ./done --split val"),
        ("eval ./done shapes", 2, "got unexpected extra argument (shapes)"),
        ("eval ./done --batch-size 4", 2, "`zoo eval` does not accept --batch-size"),
        (
            "eval ./done --data backwards=true",
            2,
            "the model requires backwards=false (got backwards=true) … "
            "omit --data backwards=true: the weights determine this value",
        ),
        ("eval ./done --tta", 2, "does not support test-time augmentation"),
        ("sample ./done --temp 0.5", 2, "--temperature 0.5", "sample ./done --temperature 0.5"),
        ("sample ./done --length 5", 2, "--max-new-tokens 5", "sample ./done --max-new-tokens 5"),
        ("sample ./done --top_k 3", 2, "--top-k 3", "sample ./done --top-k 3"),
        ("sample ./done --num-samples 2", 2, "--samples 2", "sample ./done --samples 2"),
        ("sample ./done --device foo", 2, "unknown device 'foo'; "),
        ("sample ./done --temperature -1", 2, "--temperature must be at least 0 (got -1.0)"),
        ("sample ./done --prompt-file none.txt", 2, "--prompt-file: 'none.txt': No such file or directory"),
        ("sample ./done --prompt-file latin1.txt", 1, "the prompt file latin1.txt is not UTF-8 text"),
        (
            "sample ./done --stop 'the Ωmega!'",
            2,
            "the stop string 'the Ωmega!' contains 'Ω' '!', which the model can never generate",
        ),
        ("predict ./done zeros.txt", 1, "zeros.txt: not text: it contains NUL bytes"),
        ("analyze suprise done", 1, "did you mean 'surprisal'?", "analyze surprisal ./done --out found"),
        ("analyze surprisal ./done zeros.txt", 1, "not text: it contains NUL bytes"),
        (
            "analyze surprisal ./done --indices 1",
            2,
            "--indices cannot be used with a sequence model",
        ),
        (
            "analyze cam ./done x.png",
            1,
            "cam/cam is for classification and multi-label, but charrnn/lstm is for language-m … surprisal",
        ),
        (
            "analyze dynamic-evaluation ./done --option lr=1e38",
            3,
            "lower the learning rate (currently --option lr=1e+38)",
        ),
        ("inspect fox.txt", 1, "fox.txt is not a safetensors file"),
        # learning rates
        (
            "lr-find fox-lstm --epochs 2",
            2,
            "`zoo lr-find` does not accept --epochs",
            "lr-find fox-lstm --steps 12",
        ),
        (f"{FIND} --steps 3", 2, "steps must be between 10 and 100,000 (got 3)"),
        (f"{FIND} --start 0", 2, "start must be a learning rate greater than 0 (got 0.0)"),
        (f"{FIND} --start 1 --stop 0.1", 2, "--stop must be above --start=1 and at most 1e+38 (got 0.1)"),
        (f"{FIND} --start 1e30 --stop 1e35", 3, "set --start below 1e+30"),
        (f"{FIND} --plot none/lr.png", 2, "--plot none/lr.png: there is no folder none"),
        (f"{FIND} --plot .", 2, "--plot . is a folder"),
        (f"{FIND} --batchsize 1", 2, "no such option: --batchsize; did you mean `--batch-size 1`?"),
    ],
    "images": [
        # files of other tools, and words for paths
        ("train pics", 1, "`zoo train ARCHITECTURE folder --data root=pics`"),
        ("train resnet20 pics", 1, "`zoo train resnet20 folder --data root=pics` uses it"),
        ("train convnet-bn folder --data root=pics --data sise=8", 2, "'sise'; did you mean 'size'?"),
        ("predict model.pth pics", 1, "`zoo import model.pth --architecture NAME`"),
        ("train mlp shapes --from model.pth --run out", 1, "which only `zoo import` opens"),
        ("import model.pth", 2, "missing --architecture"),
        ("import nope.pth --architecture mlp", 1, "no such file: nope.pth … expected a state dict: a .pth"),
        ("import holiday --architecture mlp", 1, "holiday is a folder, not a file"),
        ("import cat.png --architecture mlp", 1, "neither a safetensors file nor a file that torch.save"),
        ("import done/model.safetensors --architecture mlp", 2, "out must not be the imported file, done"),
        (
            "import done/model.safetensors --architecture mlp --out x.safetensors",
            1,
            "is already a zoo weights file",
        ),
        ("import model.pth --architecture mpl", 1, "did you mean 'mlp'?"),
        ("convert model.pth", 2, "did you mean `zoo import`?"),
        ("eval junk.ckpt", 1, "a run directory, or a .safetensors file"),
        ("predict pics/red/0.png ./done", 1, "a run directory, or a .safetensors file"),
        ("predict pics done", 1, "did you mean ./pics?"),
        ("eval ./empty", 1, "empty is a folder without a run"),
        (
            "eval ./unsaved",
            1,
            "unsaved has no weights: the run stopped before its first save … `zoo resume unsaved`",
        ),
        ("inspect ./unsaved", 1, "unsaved has no weights: "),
        ("resume empty", 1, "empty does not contain a run: it has no config.toml"),
        (
            "eval shapes-resnet20 --dataset ./done",
            1,
            "a path, which the dataset 'folder' can read: root=./done",
        ),
        ("analyze ./done grad-cam", 1, "this is a path, but the analyzer must come first"),
        ("predict shapes-resnet20 imgs://a.png", 1, "its format is unknown or not supported"),
        # models that cannot
        ("sample ./done", 1, "`zoo predict ./done INPUT`"),
        ("sample ./net", 1, "is not a language model (task: classification)"),
        (
            "analyze surprisal ./done",
            1,
            "analyzers for convnet/mlp: activations, confusion, calibration",
        ),
        (
            "analyze cam ./done",
            1,
            "cam/cam requires a network that averages its last feature maps; convnet/mlp does not",
        ),
        (
            "analyze dynamic-evaluation ./net",
            1,
            "dynamic-evaluation is for language-modeling, but convnet/resnet-lite is for classification",
        ),
        ("eval ./done --dataset mnst", 1, "did you mean 'mnist'?"),
        ("eval ./net --data size=16", 2, "the model requires size=32 (got size=16)"),
        ("export ./done --to tflite", 1, "unknown exporter 'tflite' … exporters: onnx, pt2"),
        ("calibrate ./done --out x.safetensors --split test", 2, "no such option: --split"),
        (f"{NET} --from ./text", 1, "contains charrnn/lstm weights, but the model is convnet/resnet-lite"),
        (
            f"{NET} --model 'widths=[4, 8]' --from ./net --freeze steem",
            2,
            "freeze=steem matches no parameter",
        ),
        (
            f"{NET} --model 'widths=[4, 8]' --from ./net --freeze '*'",
            2,
            "freeze=* leaves no parameters to train",
        ),
        # inputs
        ("predict ./net caat.png", 1, "caat.png: no such file or folder; did you mean 'cat.png'?"),
        ("embed ./net caat.png", 1, "caat.png: no such file or folder; did you mean 'cat.png'?"),
        ("predict ./net holiday/3.png", 1, "holiday/3.png: no such file or folder; did you mean"),
        ("predict ./net far/away.png", 1, "far/away.png: no such file or folder"),
        ("predict ./net '*.jpg'", 1, "*.jpg: matches nothing"),
        ("predict ./net 'a**b'", 1, "a**b: is not a valid pattern"),
        ("predict ./net empty", 1, "empty: contains no images"),
        ("predict ./net notes.txt", 1, "notes.txt: not an image"),
        ("predict ./net box.zip", 1, "box.zip: not an image"),
        ("predict ./text cat.png", 1, "cat.png: not text: it contains NUL bytes"),
        # predictions
        ("predict ./done pics --topk 3", 2, "`--top 3`"),
        ("predict ./done pics --output x.csv", 2, "`--out x.csv`"),
        ("predict ./net pics --top 0", 2, "--top must be at least 1 (got 0)"),
        ("predict ./net ''", 2, "INPUT...: a path must not be empty"),
        ("predict ./net pics --out -", 2, f"{OUTPUT} (got -)"),
        ("predict ./net pics --out x.txt", 2, f"{OUTPUT} (got x.txt)"),
        ("predict ./net pics --out .", 2, f"{OUTPUT} (got .)"),
        ("predict ./net pics --out ''", 2, "--out: a path must not be empty"),
        ("predict ./net pics --out no/x.csv", 1, "no/x.csv cannot be written: No such file or directory"),
        (
            "predict ./net pics --min-confidence 2",
            2,
            "--min-confidence must be at most 1 (got 2)",
        ),
        ("predict ./net pics --min-confidence nan", 2, "--min-confidence must be finite (got nan)"),
        ("predict ./net pics --batch-size 0", 2, "--batch-size must be at least 1 (got 0)"),
        ("predict ./net pics --threads 0", 2, "--threads must be at least 1 (got 0)"),
        (
            "embed ./net pics --layer class_maps",
            2,
            "the model has no landmark 'class_maps'; its landmarks: features, head",
        ),
        ("embed ./net pics --layer stage", 2, "the model has no layer 'stage'; did you mean 'stages'?"),
        ("embed ./net pics --out x.txt", 2, "the output must be a .npy, .csv or .jsonl file (got x.txt)"),
        ("embed ./net pics --no-pool", 2, "--no-pool requires --out or --json"),
        # analyses
        (
            "analyze camm ./cam",
            1,
            "unknown analyzer 'camm'; did you mean 'cam'? … analyzers: activations, ",
        ),
        ("analyze cam nothing.safetensors", 1, "no such file or run directory: nothing.safetensors"),
        (
            "analyze cam ./cam --class rind",
            2,
            "the model has no class 'rind'; did you mean 'ring'? … its classes: circle",
        ),
        (
            "analyze confusion ./cam --class ring",
            2,
            "analyzers/confusion does not draw heat maps, so it does not accept a class",
        ),
        ("analyze cam ./cam --indices 16", 2, "index 16 is out of range: the test split has 16 images"),
        (
            "analyze cam ./cam cat.png --class true",
            2,
            "class='true' requires labeled inputs … omit the inputs to analyze a split",
        ),
        ("analyze cam ./cam --layer stages", 2, "cam/cam does not accept a layer … grad-cam"),
        (
            "analyze grad-cam ./cam --layer stage",
            2,
            "the model has no layer 'stage'; did you mean 'stages'? … stem, stages",
        ),
        ("analyze grad-cam ./cam --option flips=2", 2, "flips must be true or false (got 2)"),
        ("analyze confusion ./cam cat.png", 2, "requires labels, but these images have none … --split"),
        (
            "analyze cam ./cam --score --dataset nietzsche",
            1,
            "the model is for classification, but text/nietzsche is … --where task=classification`",
        ),
        ("analyze cam ./cam x.png --split test", 2, "pass either inputs or a split of the data, not both"),
    ],
    "several": [
        (
            "resume demo",
            1,
            "no such run directory: demo; did you mean 'runs/demo'? … existing runs: runs/demo, runs/other",
        ),
        ("resume runs/dmo", 1, "did you mean 'runs/demo'? … existing runs: runs/demo, runs/other"),
        (
            "resume elsewhere/alnoe",
            1,
            "did you mean 'elsewhere/alone'? … existing runs: elsewhere/alone, runs/demo, runs/other",
        ),
        ("resume nope", 1, "no such run directory: nope\n     existing runs: runs/demo, runs/other"),
        ("resume elsewhere", 1, "existing runs: elsewhere/alone, runs/demo"),
    ],
    "published": [
        ("inspect fax", 1, "unknown weights 'fax'; did you mean 'fox'?"),
        ("inspect net", 1, "unknown weights 'net'; did you mean ./net?"),
        ("inspect done", 1, "unknown weights 'done'; did you mean runs/done?"),
        ("inspect loose", 1, "unknown weights 'loose'; did you mean loose.safetensors?"),
        (
            "inspect nietzsche-windows",
            1,
            "unknown weights 'nietzsche-windows'; it is a recipe, which zoo.train('nietzsche-windows')",
        ),
        ("inspect resnet44", 1, "unknown weights 'resnet44'; it is an architecture"),
        ("inspect runs/dune", 1, "no such file or run directory: runs/dune; did you mean 'runs/done'?"),
        ("inspect fox.safetensors", 1, "no such file or run directory: fox.safetensors; did you mean 'fox'?"),
        ("inspect ./runs", 1, "runs is a folder without a run"),
        ("inspect ''", 1, "unknown weights ''"),
    ],
}


def messages() -> Iterator[tuple[str, Message]]:
    """Yield each row with the fixture of its folder."""
    for table in (CHEAP, TABLE):
        for folder, rows in table.items():
            for row in rows:
                typed, code, says = row[:3]
                yield folder, Message(typed, code, says, row[3] if len(row) == 4 else "")

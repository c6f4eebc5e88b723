"""Plugins of the classes in `broken`, without torch. An entry is named after the check that it must fail."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from zoo import (
    AnalyzerSpec,
    ArchitectureSpec,
    AugmentationSpec,
    CommandSpec,
    DatasetSpec,
    ExporterSpec,
    FieldsSpec,
    MetricSpec,
    OptimizerSpec,
    Recipe,
    ScheduleSpec,
    TaskSpec,
    TokenizerSpec,
    TrackerSpec,
    WeightsSpec,
    hookimpl,
)
from zoo.registry.hookspecs import HOOKS

SUMMARY = "For the kit's own tests"
ONNX = "zoo.tools.export.onnx_reader:read"


class Provider:
    """A plugin that provides some specs, recipes and weights."""

    def __init__(self, *specs, recipes=None, weights=None):
        self.specs, self.recipes, self.weights = specs, recipes or {}, weights or {}

    @hookimpl
    def zoo_recipes(self):
        return self.recipes

    @hookimpl
    def zoo_weights(self):
        return self.weights


def hook_of(type_):
    """Return a hook that provides the specs of a type."""

    @hookimpl
    def hook(self):
        return [spec for spec in self.specs if isinstance(spec, type_)]

    return hook


for name, _, type_ in HOOKS:
    setattr(Provider, name, hook_of(type_))


@dataclass(frozen=True)
class Focus:
    """Fields of a loss.

    Attributes:
        focal_gamma: how much more what is hard counts; 0 is off.
        focal_share: share of it, which makes no difference while it is off.
        focal_epochs: epochs before it begins.
        focal_classes: classes that are never hard.
    """

    focal_gamma: Annotated[float, Meta(ge=0, le=4)] = 0.0
    focal_share: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    focal_epochs: Annotated[int, Meta(ge=0)] = 3
    focal_classes: tuple[Literal["dark", "light"], ...] = ()


@dataclass(frozen=True)
class Undescribed:
    """Fields of a loss."""

    focal_alpha: float = 0.0


@dataclass(frozen=True)
class WithAPath:
    """Fields of a loss.

    Attributes:
        class_costs: where the costs of the classes are.
    """

    class_costs: Path = Path("costs.txt")


def task(name, target, **more):
    fields = {
        "summary": SUMMARY,
        "dims": {"in_channels": 3, "image_size": 32, "num_classes": 10},
        "primary_metric": "accuracy",
        "higher_is_better": ("accuracy",),
        "labels": ("num_classes", "classes"),
        "architectures_of": "classification",
        "groups": ("images",),
        "processor": "zoo_images.processors:ClassProcessor",
        "tiny": "broken:TinyImages",
    }
    return TaskSpec(name=name, target=f"broken:{target}", **{**fields, **more})


READING = {
    "dims": {"vocab_size": 85},
    "primary_metric": "loss",
    "higher_is_better": (),
    "labels": ("vocab_size", "vocabulary"),
    "architectures_of": "language-modeling",
    "groups": ("text",),
    "tiny": "zoo_text.tiny:TinyText",
}


def measuring(name, target="Measuring", **more):
    """Return a task of numbers, and an architecture for it."""
    fields = {
        "dims": {"num_features": 3},
        "primary_metric": "mae",
        "higher_is_better": (),
        "labels": None,
        "architectures_of": "",
        "groups": (),
        "processor": "broken_processors:HeightProcessor",
        "tiny": "broken:Heights",
    }
    net = image_model(more.pop("net", name), "HeightNet", task=name)
    return task(name, target, **{**fields, **more}), net


def spec(type_, module, name, target, **more):
    """Return a spec with a target of a module, unless the target names another."""
    target = target if ":" in target else f"{module}:{target}"
    return type_(name=name, target=target, **{"summary": SUMMARY, **more})


image_model = partial(spec, ArchitectureSpec, "broken", task="classification")
text_model = partial(spec, ArchitectureSpec, "broken", task="language-modeling")
image_data = partial(spec, DatasetSpec, "broken", task="classification")
text_data = partial(spec, DatasetSpec, "broken", task="language-modeling")
optimizer = partial(spec, OptimizerSpec, "broken_methods")
schedule = partial(spec, ScheduleSpec, "broken_methods")
augmentation = partial(spec, AugmentationSpec, "broken_methods")
metric = partial(spec, MetricSpec, "broken_methods", tasks=("classification",))
tokenizer = partial(spec, TokenizerSpec, "broken_methods")
command = partial(spec, CommandSpec, "broken_commands")
tracker = partial(spec, TrackerSpec, "broken_trackers")
analyzer = partial(spec, AnalyzerSpec, "broken", tasks=("classification",), needs=("features",))


def exporter(name, target="WritesOnce", **more):
    """Return an exporter with a suffix of its own, of broken_exporters or with a reader of broken_readers."""
    suffix = f".x{''.join(character for character in name if character.isalnum())}"
    return spec(ExporterSpec, "broken_exporters", name, target, suffix=suffix, **more)


def recipe(**changes):
    """Return the recipe that made data/shapes.safetensors, with some fields changed.

    `zoo train shapes --threads 1` made it, with this plugin at hand, and left it in runs/shapes.
    """
    fields = {
        "architecture": "convnet/mlp",
        "dataset": "images/shapes",
        "model": {"widths": (4,)},
        "data": {"size": 16, "train_size": 200, "val_size": 40, "test_size": 80},
        "train": {"epochs": 2, "batch_size": 20, "precision": "fp32", "augment": ("flip",)},
        "seed": 3,
    }
    return Recipe(**{**fields, **changes})


def published(**changes):
    fields = {
        "recipe": "shapes",
        "file": "data/shapes.safetensors",
        "sha256": "25439b8fdfaf84961018d13052f7e0a89d9af1eedc82378b86f054d2e2d22824",
        "bytes": 14_456,
        "params": 3_116,
        "metrics": {"test": {"accuracy": 0.1125, "loss": 2.15038}},
        "license": "MIT",
    }
    return WeightsSpec(**{**fields, **changes})


def publisher(*, weights=None, **recipes):
    """Return a plugin with some recipes besides the honest one, and weights in place of the honest ones."""
    return Provider(recipes={"shapes": recipe(), **recipes}, weights={"shapes": weights or published()})


honest = Provider(
    task("tagging", "Tagging", groups=("images", "labels")),
    task("focusing", "Focusing", groups=("focus",)),
    task("biased", "MoreMetrics"),
    *measuring("measuring", net="heights"),
    FieldsSpec(name="focus", summary=SUMMARY, fields=Focus),
    image_model("net", "Net", landmarks={"features": "features", "head": "head"}),
    image_model("one-place", "OnePlace"),
    image_model("frozen-norm", "FrozenNorm"),
    image_model("centers", "Centers"),
    image_model("pretrained", "LoadsPretrained"),
    image_model("not-pretrained", "LoadsNothing"),
    text_model("lstm", "Lstm"),
    text_model("penalized", "Penalizes"),
    text_model("attention", "Attention", unexportable="its state grows with the text"),
    text_model("window", "Window", context_length="block_size"),
    text_model("cache", "CacheInAWindow", config={"block_size": 96}, context_length=96),
    image_model("large", "NeedsLargerImages", smallest_image=64),
    text_model("experts", "OneExpertPerToken", data_dependent="each token goes to one expert"),
    image_model("expert", "OneExpert", data_dependent="each image goes to one expert"),
    image_model("numbers", "NumbersOnTheProcessor"),
    image_model("one-size", "RefusesOtherDims"),
    image_model("versioned", "HasAVersion"),
    text_model("dict", "StateInDict"),
    text_model("named", "StateInANamedTuple"),
    text_model("number", "StateWithANumber", unexportable="its state has a number"),
    image_model("infinite", "MasksByInfinity"),
    image_model("complex", "TurnsByComplexNumbers"),
    image_model("autocasts", "AutocastsItself"),
    image_model("evaluating", "MadeInEvalMode"),
    image_data("images", "TinyImages"),
    image_data("batched", "FetchesBatches"),
    image_data("seeded", "FollowsItsSeed"),
    image_data("labeled", "LabelsInAFile"),
    image_data("globbed", "GlobsItsFolder"),
    image_data("sampled", "NeedsItsFolder", sample={"root": "data", "order": "down"}),
    image_data("endless", "MakesAnyItem"),
    image_data("kept", "KeepsItsItems"),
    image_data("later", "Later"),
    text_data("text", "TinyText"),
    text_data("styled", "Styled", card_options=("style",)),
    text_data("words", "WordsBackwards"),
    text_data("poem", "Poem"),
    command("count", "count"),
    command("several", "several"),
    exporter("onnx-again", reader=ONNX),
    optimizer("plain", "Plain"),
    optimizer("schedule-free", "ScheduleFreeSGD"),
    schedule("linear", "linear"),
    augmentation("mirrored", "mirrored"),
    metric("error-rate", "ErrorRate"),
    tokenizer("letters", "letters"),
    tracker("remembers", "Remembers"),
    tracker("cannot-be-asked", "CannotBeAsked"),
    analyzer("mean", "MeanFeature"),
    analyzer("noisy", "SmoothedByNoise"),
    analyzer("labels", "TablesItsLabels"),
    analyzer("one-map", "OneMapForAll", ignores=("class",)),
    analyzer("nearest", "NearestFeature", reference="train"),
    analyzer("edges", "EdgesOfTheInput", ignores=("class", "weights")),
    recipes={
        "shapes": recipe(),
        "own": recipe(architecture="net", dataset="images", model={"width": 8}, data={}),
        "finer": recipe(from_weights="shapes"),
    },
    weights={"shapes": published()},
)

entries = Provider(
    task("makes_a_task", "NoTask"),
    task("makes_a_task.processor", "Tagging", processor="broken_processors:NoProcessor"),
    task("tiny_data_fits", "Tagging", tiny="broken:MisspelledDims"),
    task("tiny_data_fits.empty", "Tagging", tiny="broken:TrainsOnly"),
    task("tiny_data_fits.splits", "Tagging", tiny="broken:WithoutTest"),
    task("tiny_data_fits.labels", "Tagging", tiny="broken:ElevenNames"),
    measuring("tiny_data_fits.double", tiny="broken:DoubleHeights")[0],
    task("tiny_data_fits.feeding", "Tagging", tiny="broken:ZeroDeviation"),
    task("batches_follow_from_their_place", "Unseeded"),
    task("batches_follow_from_their_place.preprocess", "WithoutPreprocess"),
    task("batches_follow_from_their_place.start", "IgnoresStart"),
    task("batches_follow_from_their_place.index", "CountsFromOne"),
    task("batches_follow_from_their_place.total", "CountsOneBatchMore"),
    task("trains_on_each_item_once", "TwoBatches"),
    task("trains_on_each_item_once.replacement", "DrawsWithReplacement"),
    task("trains_on_each_item_once.targets", "ShiftsTargets"),
    task("shuffles_each_epoch", "SameOrder"),
    task("shuffles_each_epoch.seed", "SameOrderForAllSeeds"),
    task("trains_as_it_evaluates", "ScalesToEvaluate"),
    task("keeps_no_state", "RemembersTheLevel"),
    task("keeps_no_state.order", "RemembersTheOrder"),
    task("parts_make_the_batch", "IgnoresRank"),
    task("parts_make_the_batch.share", "WithoutShare"),
    task("parts_make_the_batch.epoch", "DividesTheEpoch"),
    task("parts_make_the_batch.draws", "DrawsByRank"),
    task("evaluates_each_item_once", "LeavesOutTheLast"),
    task("evaluates_each_item_once.order", "ShufflesTheTest"),
    task("evaluates_each_item_once.short", "LeavesOutAShortBatch"),
    task("evaluates_each_item_once.preprocess", "EvaluatesWithoutPreprocess"),
    task("trains_on_each_item_once.both", "ShiftsAllTargets"),
    task("step_gives_loss_and_sums", "LossOfEachItem"),
    task("step_gives_loss_and_sums.gradient", "DetachedLoss"),
    task("step_gives_loss_and_sums.mode", "SwitchesToTraining"),
    task("step_gives_loss_and_sums.targets", "ShowsTargets"),
    task("step_gives_loss_and_sums.attached", "AttachedSums"),
    task("step_gives_loss_and_sums.mean", "MeanForASum"),
    task("sums_add_up", "ShareOfTheBatch"),
    task("sums_add_up.count", "CountsOneMore"),
    task("items_add_up", "LossOfTwoItems"),
    task("items_add_up.shape", "OneValueForTheBatch"),
    task("items_add_up.metric", "TrueForWrongItems"),
    task("counts_its_items", "CountsClasses"),
    task("counts_its_items.smoothed", "SmoothedAccuracy"),
    task("metrics_are_numbers", "TensorAsAMetric"),
    task("metrics_are_numbers.primary_metric", "Tagging", primary_metric="f1"),
    task("metrics_are_numbers.details", "TensorInDetails"),
    task("metrics_are_numbers.percent", "InPercent", units={"accuracy": "%"}),
    task("metrics_are_numbers.more", "Tagging", higher_is_better=("accuracies",)),
    task("baseline_is_of_its_metrics", "BaselineOfAnError"),
    task("better_outputs_score_better", "OneMinusLoss"),
    task("better_outputs_score_better.constant", "ConstantMetric"),
    task("better_outputs_score_better.forgotten", "Tagging", higher_is_better=()),
    *measuring("better_outputs_score_better.more", higher_is_better=("mae",)),
    task("baseline_is_plausible", "HugeBaseline"),
    task("baseline_is_plausible.low", "BaselineOfOthers"),
    task("refuses_unfit_cards", "Tagging", processor="broken_processors:AcceptsAnyCard"),
    task("refuses_unfit_cards.keys", "Tagging", processor="broken_processors:ReadsWithoutLooking"),
    task("refuses_other_data", "FeedsAnySize"),
    task("refuses_other_data.order", "FeedsAnyOrder"),
    task("refuses_other_data.mean", "FeedsItsOwnMean"),
    task("reads_its_items", "Tagging", processor="broken_processors:HalvesWhatItReads"),
    *measuring("reads_its_items.rows", processor="broken_processors:HalvesRows"),
    task("reads_its_items.text", "Reading", **READING, processor="broken_processors:ReadsBackwards"),
    *measuring("reads_uploads", processor="broken_processors:TakesBytesForNumbers"),
    task("reads_uploads.images", "Tagging", processor="broken_processors:ChannelsFirst"),
    task("predicts_the_targets", "Tagging", processor="broken_processors:LeastLikely"),
    *measuring("predicts_the_targets.scale", processor="broken_processors:InDeviations"),
    task("uses_its_fields", "IgnoresSmoothing", groups=("images", "labels")),
    task("uses_its_fields.augment", "IgnoresAugmentation"),
    task("prepares_its_items", "PreparesOtherwise"),
    task("prepares_its_items.predicts", "PreparesOtherwise", processor="broken_processors:OnlyAnswers"),
    task("prepares_its_items.item", "Tagging", processor="broken_processors:ItemAsTheModelSeesIt"),
    task("prepares_its_items.exclusive", "Tagging", exclusive=False),
    task("answers_each_input", "Tagging", processor="broken_processors:ArraysInAnswers"),
    task("answers_each_input.count", "Tagging", processor="broken_processors:AnswersTheFirst"),
    task("answers_each_input.alone", "Tagging", processor="broken_processors:SoftmaxOverTheBatch"),
    task("answers_each_input.top", "Tagging", processor="broken_processors:IgnoresTop"),
    task("answers_each_input.score", "Reading", **READING, processor="broken_processors:CountsTheFirstToken"),
    task("processes_without_torch", "Tagging", processor="broken_processors:CountsWithTorch"),
    task("processes_without_torch.draws", "Tagging", processor="broken_processors:TellsTheProcess"),
    FieldsSpec(name="fields_are_described", summary=SUMMARY, fields=Undescribed),
    FieldsSpec(name="fields_can_be_typed", summary=SUMMARY, fields=WithAPath),
    exporter("programs_answer_alike", "Foreign"),
    exporter("programs_answer_alike.batch", "KeepsTheBatch"),
    exporter("programs_answer_alike.names", "SwapsOutputs"),
    exporter("programs_answer_alike.fewer", "GivesOneOutput"),
    exporter("programs_answer_alike.kept", "KeepsTheModel"),
    exporter("programs_answer_alike.file", "KeepsItInAFile"),
    exporter("programs_answer_alike.changed", "HalvesAWeight"),
    exporter("programs_answer_alike.mode", "LeavesTrainingMode"),
    exporter("programs_answer_alike.frozen", "Freezes"),
    exporter("programs_answer_alike.settings", "LeavesGradientsOff"),
    exporter("programs_answer_alike.thousandth", "AddsAThousandth"),
    exporter("programs_answer_alike.dtype", "GivesFloat64"),
    exporter("programs_answer_alike.mean", "NormalizesBatches"),
    exporter("programs_answer_alike.garbage", "WritesZeros"),
    exporter("options_are_typed.exporter", "UntypedLevel", reader=ONNX),
    exporter("equal_models_equal_files", "SaysWhen", reader=ONNX),
    exporter("equal_models_equal_files.place", "SaysWhere", reader=ONNX),
    exporter("equal_models_equal_files.set", "SaysASet", reader=ONNX),
    exporter("equal_models_equal_files.count", "SaysHowMany", reader=ONNX),
    exporter("equal_models_equal_files.longer", "SaysMoreEachTime", reader=ONNX),
    exporter("equal_models_equal_files.gzip", "ZipsWithATime"),
    exporter("reads_without_torch", reader="broken_readers:needs_torch"),
    exporter("reads_without_torch.card", reader="broken_readers:forgets_the_data"),
    exporter("refuses_what_it_did_not_write", reader="broken_readers:trusts"),
    exporter("refuses_what_it_did_not_write.crash", reader="broken_readers:crashes"),
    optimizer("options_are_typed.required", "needs_more"),
    optimizer("options_are_typed.annotation", "unknown_type"),
    optimizer("makes_an_optimizer", "only_matrices"),
    optimizer("makes_an_optimizer.return", "makes_and_forgets"),
    optimizer("makes_an_optimizer.groups", "regroups"),
    optimizer("follows_its_rate", "KeepsItsRate"),
    optimizer("trains", "Climbs"),
    optimizer("trains.rate", "Plain", training={"lr": 1e4}),
    optimizer("trains.eval", "EvaluatesFarOff"),
    optimizer("makes_an_optimizer.closure", "CallsTheModelAgain"),
    optimizer("resumes_exactly", "CountsItsSteps"),
    optimizer("resumes_exactly.group", "CountsInItsGroups"),
    optimizer("resumes_exactly.seldom", "ResetsSeldom"),
    optimizer("resumes_exactly.elsewhere", "CountsElsewhere"),
    optimizer("resumes_exactly.late", "StartsLate"),
    optimizer("resumes_exactly.eval", "ChangesItsState"),
    optimizer("uses_its_options", "DecaysNothing"),
    schedule("options_are_typed.schedule", "bare"),
    schedule("returns_rates", "negative"),
    schedule("returns_rates.nothing", "nothing"),
    schedule("returns_rates.rate", "a_rate"),
    schedule("returns_rates.history", "needs_validation"),
    schedule("remembers_nothing", "counts_its_calls"),
    schedule("remembers_nothing.best", "remembers_the_best"),
    augmentation("options_are_typed.augmentation", "untyped_mirror"),
    augmentation("returns_images", "scaled"),
    augmentation("returns_images.crop", "narrow"),
    augmentation("returns_images.fewer", "drops_one"),
    augmentation("returns_images.return", "mirrors_and_forgets"),
    augmentation("returns_images.place", "in_place"),
    augmentation("draws_from_its_draws", "from_torch"),
    augmentation("draws_from_its_draws.global", "reseeds"),
    augmentation("draws_from_its_draws.python", "from_python"),
    augmentation("draws_from_its_draws.fixed", "always_alike"),
    augmentation("augments_each_image_alone", "all_or_none"),
    augmentation("changes_what_it_says", "mirrored", changes="colors"),
    augmentation("changes_what_it_says.places", "inverted", changes="places"),
    metric("options_are_typed.metric", "WithAnOption"),
    metric("options_are_typed.function", "error_rate"),
    metric("measures", "OverNothing"),
    metric("measures.loss", "OneLoss"),
    metric("measures.percent", "Percentage", unit="%", higher_is_better=True),
    metric("measures.target", "Percentage", unit="%", target_value=0.9),
    metric("measures.error", "HundredTimesWrong", unit="%"),
    metric("measures.state", "CountsItself"),
    metric("measures.sum", "ForgetsToDivide"),
    metric("measures.nan_loss", "NanLoss"),
    metric("measures.detached_loss", "DetachedLoss"),
    metric("measures.mean", "OneMean"),
    metric("measures.items", "ForgetsItsItems"),
    metric("measures.value", "ForgetsItsValue"),
    metric("measures.methods", "MisnamesItsItems"),
    metric("measures_each_item_alone", "MeanOfTheBatch"),
    metric("measures_each_item_alone.loss", "DividedByTheBatch"),
    metric("right_outputs_score_better", "ErrorRate", higher_is_better=True),
    metric("right_outputs_score_better.loss", "WrongSign"),
    tokenizer("restores_its_text", "words"),
    tracker("makes_a_tracker", "Foreign"),
    tracker("makes_a_tracker.argument", "NeedsAnArgument"),
    tracker("makes_a_tracker.torch", "ImportsTorch"),
    tracker("options_are_typed.tracker", "UntypedFolder"),
    tracker("continues_its_runs", "Forgets"),
    tracker("continues_its_runs.next", "ReturnsTheNext"),
    tracker("continues_its_runs.name", "FindsByName"),
    tracker("continues_its_runs.first", "BeginsAtOne"),
    tracker("continues_its_runs.raises", "Raises"),
    tracker("stores_what_it_logs", "StoresNothing"),
    tracker("leaves_the_run_alone", "WritesToTheLog"),
    tracker("leaves_the_run_alone.deleted", "DeletesTheConfig"),
    command("shows_its_help", "silent"),
    command("shows_its_help.usage", "helpless"),
    command("shows_its_help.torch", "torch_command:command"),
    command("takes_json_and_quiet", "loud"),
    command("refuses_missing_weights", "opens"),
    command("refuses_missing_weights.printed", "prints"),
    command("refuses_missing_weights.exit", "leaves"),
    command("refuses_missing_weights.file", "shrugs"),
    command("refuses_missing_weights.past", "greets"),
    image_model("builds", "OddWidth"),
    image_model("builds.options", "BagOfOptions"),
    image_model("builds.dim", "MisspelledDim"),
    image_model("builds.small", "RefusesSmallImages"),
    image_model("options_are_typed", "UntypedOption"),
    image_model("options_are_typed.default", "NoneForAnInteger"),
    image_model("same_seed_same_weights", "UnseededWeights"),
    image_model("builds_on_meta.numpy", "TableFromNumpy"),
    text_model("batch_mates_do_not_matter.text", "ComparesLanes"),
    image_model("output_shape", "SqueezesOneAway"),
    image_model("output_shape.small", "NeedsLargerImages"),
    image_model("output_shape.large", "NeedsOtherImages"),
    text_model("output_shape.text", "NoState"),
    text_model("output_shape.state", "RemembersItsBatch"),
    image_model("same_shape_in_training", "AuxiliaryLogits"),
    text_model("same_shape_in_training.text", "ShowsItsWork"),
    image_model("same_shape_in_training.inputs", "DarkensItsInputsInTraining"),
    image_model("refuses_bad_options", "StoresItsDropout"),
    image_model("refuses_bad_options.silent", "RefusesWithoutAMessage"),
    image_model("first_loss_near_uniform", "LoudLogits"),
    image_model("every_parameter_gets_a_gradient", "UnusedLayer"),
    image_model(
        "every_parameter_gets_a_gradient.spare",
        "OneExpertAndASpare",
        data_dependent="each image goes to one expert",
    ),
    image_model("fits_its_inputs", "CentersOnSome"),
    image_model("fits_its_inputs.finite", "DividesByZeroVariance"),
    image_model("names_its_pretrained_weights", "ReturnsItsWeights"),
    image_model("training_is_reproducible", "UnseededNoise"),
    image_model("draws_from_the_seed", "SeedsItsWeights"),
    image_model("draws_from_the_seed.forward", "SeedsItsDropout"),
    image_model("follows_its_dims", "TenClasses"),
    image_model("follows_its_dims.channels", "ColorsOnly"),
    image_model("follows_its_dims.size", "SmallImagesOnly"),
    text_model("follows_its_dims.text", "NineteenTokens"),
    image_model("use_changes_nothing", "PatchesRelu"),
    image_model("use_changes_nothing.optimizer", "PatchesTheOptimizer"),
    image_model("use_changes_nothing.process", "StartsAProcess"),
    image_model("use_changes_nothing.network", "Downloads"),
    image_model("use_changes_nothing.signal", "IgnoresCtrlC"),
    image_model("leaves_modes_and_settings", "FreezesItsNorm"),
    image_model("leaves_modes_and_settings.threads", "SetsThreads"),
    image_model("leaves_modes_and_settings.dtype", "SetsTheDefaultDtype", unexportable="it does that"),
    image_model("leaves_modes_and_settings.gradients", "SwitchesGradientsOn"),
    image_model("trains_in_bf16", "AssignsToFloat32", unexportable="it assigns to a slice"),
    image_model("eval_agrees_with_training", "ForgetsToScaleItsDropout"),
    image_model("eval_agrees_with_training.softmax", "SoftmaxInEval"),
    image_model("eval_agrees_with_training.inputs", "HalvesInEval"),
    image_model("overfits_one_batch", "FaintLogits"),
    image_model("overfits_one_batch.softmax", "Softmaxes"),
    image_model("batch_mates_do_not_matter", "ComparesWithTheFirst"),
    image_model("batch_mates_do_not_matter.large", "CentersLargeBatches"),
    image_model("batch_mates_do_not_matter.number", "ScalesByTheBatch"),
    image_model("eval_is_deterministic", "DropsOutInEval"),
    image_model("eval_is_deterministic.counter", "FadesInAnAttribute"),
    image_model("eval_is_deterministic.last", "RemembersTheLastMean"),
    image_model("eval_is_deterministic.numpy", "NoiseFromNumpy"),
    image_model("eval_changes_nothing", "CountsItsPasses"),
    image_model("eval_changes_nothing.inputs", "DarkensItsInputs"),
    image_model("builds_on_meta", "ReadsItsWeights"),
    image_model("saves_and_loads", "ForgetsStatistics"),
    image_model("saves_and_loads.drawn", "DrawsATable"),
    image_model("saves_and_loads.process", "MixesByProcess"),
    image_model("deep_copies", "KeepsItsOutput"),
    image_model("moves_dtype_and_device", "ShiftsOnTheProcessor"),
    text_model("moves_dtype_and_device.dtype", "ZerosInFloat32"),
    image_model("exports", "ReadsDataPointers"),
    image_model("exports.other", "ApproximatesInExport"),
    image_model("exports.dependent", "ApproximatesInExport", data_dependent="it rounds"),
    image_model("exports.reason", "Net", unexportable="it did not, once"),
    image_model("exports.batch", "ReadsOneByOne"),
    text_model("exports.state", "StateThatGrows"),
    image_model("landmarks_resolve", "Net", landmarks={"features": "stages.2"}),
    image_model("landmarks_resolve.mean", "Net", landmarks={"features": "features", "mean_head": "head"}),
    image_model("landmarks_resolve.maps", "Net", landmarks={"class_maps": "features"}),
    image_model("landmarks_resolve.features", "RollsTheBatchUp", landmarks={"features": "rolled"}),
    image_model("landmarks_resolve.tokens", "Net", landmarks={"tokens": "head", "head": "head"}),
    image_model("landmarks_resolve.found", "FindsTooMuch"),
    text_model("landmarks_resolve.head", "LogitsAtEachStep", landmarks={"head": "out"}),
    text_model("causal", "SeesTheFuture"),
    text_model("carries_state", "ForgetsState"),
    text_model("carries_state.border", "ForgetsBetweenCalls", unexportable="its state grows"),
    text_model("carries_state.lane", "MisplacesSingleTokensOfOneLane", unexportable="its state grows"),
    text_model("carries_state.part", "MisplacesTheNextPart", unexportable="its state grows"),
    text_model("any_length_and_batch", "ShortMask"),
    text_model("any_length_and_batch.one", "SqueezesTimeAway"),
    text_model("state_detaches", "StateWithText"),
    text_model("state_can_be_saved", "StateOnTheModule", unexportable="its state grows"),
    text_model("penalty_trains", "PenalizesWithoutGradient"),
    text_model("penalty_trains.float", "PenalizesInFloats"),
    image_data("works_offline", "TriesToConnect"),
    image_data("fingerprint_follows_the_data", "FixedFingerprint"),
    image_data("fingerprint_follows_the_data.sample", "IgnoresItsFolder", sample={"root": "data"}),
    image_data("fingerprint_follows_the_data.labels", "LeavesOutItsLabels"),
    image_data("fingerprint_follows_the_data.bytes", "LeavesOutItsBytes"),
    image_data("fingerprint_follows_the_data.folders", "LeavesOutItsFolders"),
    image_data("options_are_typed.dataset", "UntypedDataset"),
    text_data("items_fit_dims.list", "ListOfTokens"),
    image_data("items_fit_dims.long", "CountsOneTooMany"),
    image_data("items_fit_dims.short", "CountsOneTooFew"),
    image_data("same_items_twice", "ShufflesItself"),
    image_data("same_items_twice.inverted", "InvertsInPlace"),
    image_data("same_items_twice.next", "ChangesTheNext"),
    image_data("same_items_twice.augmented", "FlipsAtRandom"),
    image_data("same_items_twice.labels", "DrawsItsLabels"),
    image_data("same_items_twice.opened", "DrawsWhenOpened"),
    image_data("same_items_twice.system", "DrawsFromTheSystem"),
    image_data("same_items_twice.process", "TintsByProcess"),
    image_data("same_items_twice.clock", "TintsByHour"),
    image_data("same_items_twice.order", "OrdersClassesByASet"),
    image_data("options_are_typed.names", "TinyImages", required=("depth",)),
    image_data("cards_name_no_files", "LabelsOfAFile", card_options=("labels",)),
    text_data("cards_name_no_files.folder", "TextsOfAFolder", card_options=("folders",)),
    image_data("options_are_typed.card_options", "TinyImages", card_options=("depth",)),
    image_data("dims_are_declared", "MisspelledDims"),
    image_data("has_three_splits", "WithoutTest"),
    image_data("has_three_splits.stream", "Streams"),
    image_data("items_fit_dims", "FloatImages"),
    text_data("items_fit_dims.text", "LanesOfText"),
    image_data("labels_in_range", "LabelsFromOne"),
    image_data("labels_in_range.missing", "TrainsWithoutAClass"),
    image_data("labels_in_range.one", "ValidatesOneClass"),
    image_data("trains_a_model", "FloatLabels"),
    image_data("fetches_its_items", "FetchesSorted"),
    image_data("fetches_its_items.torch", "FetchesCollated"),
    image_data("labels_in_range.several", "ListsOfTags", task="multi-label"),
    image_data("labels_in_range.counts", "CountsOfTags", task="multi-label"),
    image_data("splits_differ", "TestsOnTraining"),
    text_data("splits_differ.text", "ValidatesOnTest"),
    image_data("splits_differ.bit", "FlipsOneBit"),
    image_data("splits_differ.mirrored", "MirrorsItsCopies"),
    image_data("same_items_twice.thread", "TintsByThread"),
    image_data("splits_differ.compressed", "CompressesItsCopies"),
    text_data("splits_differ.tokens", "ChangesAFewTokens"),
    image_data("same_fingerprint_twice", "FreshFingerprint"),
    image_data("same_fingerprint_twice.order", "HashesASet"),
    image_data("preprocess_is_json", "TupleOfClasses"),
    text_data("preprocess_is_json.tokens", "BytePairs"),
    text_data("preprocess_is_json.eos", "NewlineWithoutEos"),
    image_data("preprocess_feeds_new_input", "MeansOfBytes"),
    image_data("preprocess_feeds_new_input.mean", "MeanOfOthers"),
    image_data("preprocess_feeds_new_input.deviation", "DeviationOfOthers"),
    image_data("preprocess_feeds_new_input.size", "SizeBeforeResizing"),
    image_data("preprocess_feeds_new_input.names", "OneNameForAll"),
    text_data("preprocess_feeds_new_input.text", "NoUnknownToken"),
    text_data("refuses_missing_files", "OpensUnchecked"),
    text_data("refuses_missing_files.ignored", "GoesWithoutItsTitle"),
    text_data("refuses_missing_files.name", "NamesNoFile"),
    text_data("refuses_damaged_files", "SkipsTheHash"),
    text_data("refuses_damaged_files.second", "SkipsTheHashOfItsSecondFile"),
    text_data("text_decodes", "TokenTwice"),
    text_data("text_decodes.words", "WordsWithoutSpaces"),
    analyzer("finite", "DividesByZero"),
    analyzer("can_be_written", "TensorAsScore"),
    analyzer("can_be_written.table", "TensorInATable"),
    analyzer("finite.text", "StacksText", tasks=("language-modeling",), needs=()),
    analyzer("options_are_typed.analyzer", "UntypedAnalyzer"),
    analyzer("options_are_typed.analyzer_default", "FunctionAsOption"),
    analyzer("deterministic", "OwnNoise"),
    analyzer("answers_what_was_asked", "AlwaysPredicted"),
    analyzer("maps_are_of_their_images", "ReversesABatch"),
    analyzer("maps_are_of_their_images.all", "FractionsOfTheLargest"),
    analyzer("maps_are_of_their_images.batch", "FractionsOfTheBatch"),
    analyzer("answers_what_was_asked.images", "LastBatchOnly"),
    analyzer("maps_are_upright", "UpsideDown"),
    analyzer("maps_are_upright.mirrored", "Mirrored"),
    analyzer("answers_what_was_asked.logits", "Probabilities"),
    analyzer("figures_draw", "DrawsNothing"),
    analyzer("finite_on_constant_input", "Standardizes"),
    analyzer("sensitive_to_class", "OneMapForAll"),
    analyzer("sensitive_to_class.ignored", "MeanFeature", ignores=("class",)),
    analyzer("sensitive_to_weights", "EdgesOfTheInput", ignores=("class",)),
    analyzer("sensitive_to_weights.ignored", "MeanFeature", ignores=("weights",)),
    analyzer("follows_its_reference", "MeanFeature", reference="train"),
    analyzer("ignores_labels", "ReportsAccuracy"),
    analyzer("declares_its_needs", "UsesTheHead"),
    analyzer("refuses_what_it_lacks", "GuessesALandmark"),
    analyzer("untouched_after_an_error", "UnhooksLate"),
    analyzer("leaves_model_untouched", "LeavesEval"),
    analyzer("leaves_model_untouched.seed", "SeedsTorch"),
    analyzer("leaves_model_untouched.attribute", "LeavesAnAttribute"),
    analyzer("leaves_model_untouched.hook", "LeavesAHook"),
    analyzer("leaves_model_untouched.gradients", "LeavesGradients"),
    analyzer("leaves_model_untouched.settings", "LeavesGradientsOff"),
)

NUMBERS = {
    "dims": {"in_channels": 3, "image_size": 32},
    "primary_metric": "loss",
    "higher_is_better": (),
    "groups": (),
    "labels": None,
    "processor": "broken_processors:Anything",
}
numbers = Provider(
    *measuring("skewed", "MeasuringAgainstTheMean", tiny="broken:SkewedHeights"),
    task("counting", "Counting", **NUMBERS, tiny="broken:Lights"),
    task("raw", "Counting", **NUMBERS, tiny="broken:RawLights"),
    image_data("lights", "Lights", task="counting"),
    image_data("raw-lights", "RawLights", task="raw"),
    TaskSpec(
        name="locating",
        target="zoo.plugin:RegressionTask",
        summary=SUMMARY,
        dims={"num_features": 3, "num_targets": 2},
        primary_metric="rmse",
        processor="broken_processors:Anything",
        tiny="broken:Positions",
    ),
    image_model("positions", "PositionNet", task="locating"),
    analyzer("mean-error", "MeanError", tasks=("locating",), needs=(), labels=True),
    metric("relative-error", "RelativeError", tasks=("locating",)),
    metric("error-of-ones", "ErrorOfOnes", tasks=("locating",)),
)

miles = Provider(
    *measuring("miles", tiny="broken:Miles"),
    image_model("logarithms", "ReadsLogarithms", task="miles"),
    image_model("batch-scale", "ScalesByTheMeanOfTheBatch", task="miles"),
)


def days(**more):
    """Return the task of examples/zoo-forecast, and a model for it that always forecasts 24 hours."""
    fields = {"target": "zoo_forecast.forecasting:Forecasting", "tiny": "zoo_forecast.demand:Demand"}
    dims = {"history": 168, "horizon": 24, "num_quantiles": 3}
    processor = "zoo_forecast.histories:Histories"
    task = TaskSpec(name="days", summary=SUMMARY, dims=dims, processor=processor, **fields, **more)
    return Provider(task, image_model("one-day", "OneDay", task="days"))


one_day = days(output_shape=("horizon", "num_quantiles"))
without_shape = days()

offline = Provider(image_model("downloads", "DownloadsWeights"), image_model("net", "Net"))

rounded = publisher(weights=published(metrics={"test": {"loss": 0.0019}}))

elsewhere = publisher(weights=published(file="", url="https://example.org/shapes.safetensors"))

expected = Provider(
    image_model(
        "net",
        "SqueezesOneAway",
        expected_failures={"output_shape": "issue 12", "builds": "issue 13"},
    ),
)

expected_of_others = Provider(
    image_data("images", "TinyImages", expected_failures={"splits_differ": "issue 14"}),
    image_data("leak", "TestsOnTraining", expected_failures={"splits_differ": "issue 15"}),
    task("tagging", "BaselineOfAnError", expected_failures={"baseline_is_of_its_metrics": "issue 16"}),
)

misspelled = Provider(image_model("net", "Net", expected_failures={"output_shap": "issue 12"}))

undeclared = Provider(image_model("expert", "OneExpert"))

warned = Provider(
    image_model("far-off", "StartsFarOff"),
    image_data("rolled", "RollsTheTestLabels"),
    schedule("patient", "waits"),
)

unused = Provider(
    image_model("depth", "IgnoresItsDepth"),
    image_model("kept-depth", "KeepsItsDepth"),
    image_model("net", "Net"),
    optimizer("decay", "DecaysNothing"),
    optimizer("plain", "Plain"),
    schedule("floor", "ignores_its_floor"),
    schedule("linear", "linear"),
    schedule("pinball", "waits_long"),
    augmentation("mirrored", "mirrored"),
    metric("scale", "IgnoresItsScale"),
    exporter("level", "IgnoresItsLevel", reader=ONNX),
    tracker("folder", "IgnoresItsFolder"),
)

warning_trackers = Provider(tracker("steps", "StoresSteps"), tracker("remembers", "Remembers"))

extra = Provider(
    command("absent", "extra_command:command", extra="more"),
    exporter("absent", "extra_command:command", extra="more"),
    tracker("absent", "extra_command:command", extra="more"),
    tracker("absent-when-made", "ImportsWhenMade", extra="more"),
)

asking = Provider(analyzer("concept", "NeedsAConcept"), image_data("folder", "NeedsItsFolder"))

small = Provider(image_data("images", "TinyImages"))

namesakes = Provider(
    metric("accuracy", "ErrorRate"),
    metric("perplexity", "ErrorRate", tasks=("classification", "language-modeling")),
)


class MisspelledHook:
    @hookimpl
    def zoo_dataset(self):
        return []


class InvalidCommand:
    """A plugin with a command that cannot have its name."""

    def __init__(self, name):
        self.name = name

    @hookimpl
    def zoo_commands(self):
        return [command(self.name, "count")]


def targets(module):
    """Return a plugin with a dataset in a module of its own."""
    return Provider(image_data("images", f"{module}:TinyImages"))


plugins = {
    "loads": MisspelledHook(),
    "loads.twice": Provider(*2 * [image_data("images", "TinyImages")]),
    "loads.kind": [],
    "loads.recipes": Provider(recipes=[recipe()]),
    "loads.recipe": Provider(recipes={"shapes": published()}),
    "loads.namesake": Provider(image_data("images", "TinyImages"), recipes={"images": recipe()}),
    "loads.metrics": publisher(weights=published(metrics={})),
    "recipes_name_entries": publisher(wrong=recipe(dataset="images/shape")),
    "recipes_name_entries.task": publisher(wrong=recipe(dataset="text/stdlib", data={})),
    "recipes_name_entries.weights": publisher(wrong=recipe(from_weights="shape")),
    "recipes_have_valid_options": publisher(wrong=recipe(train={"epoch": 2})),
    "recipes_have_valid_options.task": publisher(wrong=recipe(train={"bptt": 8})),
    "recipes_have_valid_options.model": publisher(wrong=recipe(model={"width": 4})),
    "recipes_have_valid_options.data": publisher(wrong=recipe(data={"size": "small"})),
    "weights_are_intact": publisher(weights=published(sha256="0" * 64)),
    "weights_are_intact.missing": publisher(weights=published(file="data/shape.safetensors")),
    "weights_are_intact.bytes": publisher(weights=published(bytes=14_321)),
    "weights_fit_their_recipe": publisher(
        wrong=recipe(model={"widths": (8,)}), weights=published(recipe="wrong")
    ),
    "weights_fit_their_recipe.recipe": publisher(weights=published(recipe="shape")),
    "weights_fit_their_recipe.architecture": publisher(
        wrong=recipe(architecture="convnet/convnet", model={}), weights=published(recipe="wrong")
    ),
    "weights_fit_their_recipe.params": publisher(weights=published(params=3_117)),
    "weights_fit_their_recipe.seed": publisher(weights=published(by_seed={"0": 0.1125, "1": 0.1})),
    "weights_fit_their_recipe.other_seed": publisher(wrong=recipe(seed=4), weights=published(recipe="wrong")),
    "weights_fit_their_recipe.data": publisher(
        wrong=recipe(data={"size": 16, "train_size": 300}), weights=published(recipe="wrong")
    ),
    "weights_fit_their_recipe.training": publisher(
        wrong=recipe(train={"epochs": 3}), weights=published(recipe="wrong")
    ),
    "weights_fit_their_recipe.load": publisher(
        weights=published(
            file="data/note.txt",
            bytes=24,
            sha256="92640a966a5b2ccb83d1734f5c495f73b9ee87ab497b66492d2d9b434e723545",
        )
    ),
    "weights_score_as_claimed": publisher(weights=published(metrics={"test": {"accuracy": 0.12}})),
    "weights_score_as_claimed.split": publisher(weights=published(metrics={"val": {"accuracy": 0.1125}})),
    "weights_score_as_claimed.metric": publisher(weights=published(metrics={"test": {"error": 0.8875}})),
    "loads.task": Provider(
        ArchitectureSpec(name="net", target="broken:Net", task="clasification", summary="For the kit's tests")
    ),
    "summaries_are_one_line": Provider(FieldsSpec(name="focus", summary=" Padded ", fields=Focus)),
    "summaries_are_one_line.number": Provider(
        FieldsSpec(name="focus", summary=3, fields=Focus)  # pyright: ignore[reportArgumentType]
    ),
    "summaries_are_one_line.long": Provider(FieldsSpec(name="focus", summary="long " * 30, fields=Focus)),
    "loads.shadow": InvalidCommand("train"),
    "targets_resolve.command": Provider(command("count", "function")),
    "targets_resolve.module": Provider(command("count", "extra_command:command")),
    "targets_resolve.reader": Provider(exporter("onnx-again", reader="broken_readers:renamed")),
    "targets_resolve": Provider(image_data("images", "Renamed")),
    "targets_resolve.kind": Provider(image_data("images", "POEM")),
    "import_changes_nothing.target": targets("seeds_torch"),
    "import_changes_nothing.relu": targets("patches_relu"),
    "import_changes_nothing.step": targets("patches_the_optimizer"),
    "import_changes_nothing.print": targets("patches_print"),
    "imports_offline": targets("connects"),
}
"""Plugins that fail a check of the plugin itself, by the name of the check."""

for name, plugin in plugins.items():
    globals()[name.replace(".", "_")] = plugin

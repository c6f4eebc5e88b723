"""The plugins that bring `broken`, without torch. An entry is named after the check it is to fail."""

from zoo import AnalyzerSpec, ArchitectureSpec, DatasetSpec, hookimpl


class Provider:
    """A plugin of some specs."""

    def __init__(self, *specs):
        self.specs = specs

    @hookimpl
    def zoo_architectures(self):
        return [spec for spec in self.specs if isinstance(spec, ArchitectureSpec)]

    @hookimpl
    def zoo_datasets(self):
        return [spec for spec in self.specs if isinstance(spec, DatasetSpec)]

    @hookimpl
    def zoo_analyzers(self):
        return [spec for spec in self.specs if isinstance(spec, AnalyzerSpec)]


def images(spec_type, name, target, **more):
    more = {"summary": "For the kit's own tests", **more}
    return spec_type(name=name, target=f"broken:{target}", task="classification", **more)


def text(spec_type, name, target):
    return spec_type(
        name=name, target=f"broken:{target}", task="language-modelling", summary="For the kit's own tests"
    )


def analyzer(name, target):
    return AnalyzerSpec(
        name=name,
        target=f"broken:{target}",
        summary="For the kit's own tests",
        tasks=("classification",),
        needs=("features",),
    )


honest = Provider(
    images(ArchitectureSpec, "net", "Net", landmarks={"features": "features", "head": "head"}),
    text(ArchitectureSpec, "lstm", "Lstm"),
    text(ArchitectureSpec, "penalised", "Penalises"),
    images(DatasetSpec, "images", "TinyImages"),
    text(DatasetSpec, "text", "TinyText"),
    text(DatasetSpec, "words", "WordsBackwards"),
    analyzer("mean", "MeanFeature"),
)

entries = Provider(
    images(ArchitectureSpec, "builds", "OddWidth"),
    images(ArchitectureSpec, "builds.options", "BagOfOptions"),
    images(ArchitectureSpec, "same_seed_same_weights", "UnseededWeights"),
    images(ArchitectureSpec, "output_shape", "SqueezesOneAway"),
    text(ArchitectureSpec, "output_shape.text", "NoState"),
    text(ArchitectureSpec, "output_shape.penalty", "PenalisesAlways"),
    images(ArchitectureSpec, "first_loss_near_uniform", "LoudLogits"),
    images(ArchitectureSpec, "every_parameter_gets_a_gradient", "UnusedLayer"),
    images(ArchitectureSpec, "overfits_one_batch", "FaintLogits"),
    images(ArchitectureSpec, "batch_mates_do_not_matter", "ComparesBatchMates"),
    images(ArchitectureSpec, "eval_is_deterministic", "DropsOutInEval"),
    images(ArchitectureSpec, "builds_on_meta", "ReadsItsWeights"),
    images(ArchitectureSpec, "saves_and_loads", "ForgetsStatistics"),
    images(ArchitectureSpec, "deep_copies", "KeepsItsOutput"),
    images(ArchitectureSpec, "landmarks_resolve", "Net", landmarks={"features": "stages.2"}),
    text(ArchitectureSpec, "causal", "SeesTheFuture"),
    text(ArchitectureSpec, "carries_state", "ForgetsState"),
    text(ArchitectureSpec, "state_detaches", "StateInDict"),
    text(ArchitectureSpec, "penalty_trains", "PenalisesInVain"),
    text(ArchitectureSpec, "penalty_trains.float", "PenalisesInFloats"),
    images(DatasetSpec, "dims_are_declared", "MisspeltDims"),
    images(DatasetSpec, "items_fit_dims", "FloatImages"),
    text(DatasetSpec, "items_fit_dims.text", "LanesOfText"),
    images(DatasetSpec, "labels_in_range", "LabelsFromOne"),
    images(DatasetSpec, "splits_differ", "TestsOnTraining"),
    text(DatasetSpec, "splits_differ.text", "ValidatesOnTest"),
    images(DatasetSpec, "same_fingerprint_twice", "FreshFingerprint"),
    images(DatasetSpec, "order_is_reproducible", "ShufflesItself"),
    images(DatasetSpec, "preprocess_is_json", "TupleOfClasses"),
    text(DatasetSpec, "preprocess_is_json.tokens", "BytePairs"),
    text(DatasetSpec, "preprocess_is_json.eos", "NewlineWithoutEos"),
    text(DatasetSpec, "text_decodes", "TokenTwice"),
    text(DatasetSpec, "text_decodes.words", "WordsWithoutSpaces"),
    analyzer("finite", "DividesByZero"),
    analyzer("deterministic", "OwnNoise"),
    analyzer("leaves_model_untouched", "LeavesEval"),
    analyzer("leaves_model_untouched.hook", "LeavesAHook"),
    analyzer("leaves_model_untouched.gradients", "LeavesGradients"),
)

small = Provider(images(DatasetSpec, "images", "TinyImages"))
summaries_are_one_line = Provider(images(DatasetSpec, "images", "TinyImages", summary="One line.\nAnother."))
targets_resolve = Provider(images(DatasetSpec, "images", "Renamed"))

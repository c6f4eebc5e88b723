"""The table of checks: the promises of a plugin, and the dependencies between checks."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.testing._case import Check, CheckKind

# By kind, the module and the name of each check, and the names of the checks that it needs. Tasks and data
# come before the models that are checked with them: what is wrong there is reported there first.
_NEEDS: Mapping[CheckKind, Mapping[str, str]] = {
    "plugin": {
        "plugin_checks.loads": "",
        "plugin_checks.imports_without_torch": "loads",
        "plugin_checks.imports_quickly": "imports_without_torch",
        "plugin_checks.imports_silently": "imports_without_torch",
        "plugin_checks.targets_resolve": "loads",
        "plugin_checks.import_changes_nothing": "targets_resolve",
        "plugin_checks.imports_offline": "targets_resolve",
        "plugin_checks.summaries_are_one_line": "loads",
    },
    "recipe": {
        "catalog_checks.recipes_name_entries": "",
        "catalog_checks.recipes_have_valid_options": "recipes_name_entries",
    },
    "weights": {
        "catalog_checks.weights_are_intact": "",
        "catalog_checks.weights_fit_their_recipe": "",
        "catalog_checks.weights_score_as_claimed": "weights_fit_their_recipe",
    },
    "task": {
        "task_checks.makes_a_task": "",
        "task_checks.tiny_data_fits": "makes_a_task",
        "task_checks.batches_follow_from_their_place": "tiny_data_fits",
        "task_checks.parts_make_the_batch": "trains_on_each_item_once",
        "task_checks.evaluates_each_item_once": "tiny_data_fits",
        "task_checks.step_gives_loss_and_sums": "batches_follow_from_their_place",
        "task_checks.sums_add_up": "step_gives_loss_and_sums evaluates_each_item_once",
        "task_checks.metrics_are_numbers": "step_gives_loss_and_sums evaluates_each_item_once",
        "task_checks.items_add_up": "sums_add_up metrics_are_numbers",
        "task_checks.baseline_is_of_its_metrics": "keeps_no_state",
        "task_checks.prepares_its_items": "evaluates_each_item_once",
        "task_checks.answers_each_input": "step_gives_loss_and_sums evaluates_each_item_once",
        "task_checks.processes_without_torch": "answers_each_input",
        "epoch_checks.trains_on_each_item_once": "batches_follow_from_their_place evaluates_each_item_once",
        "epoch_checks.shuffles_each_epoch": "trains_on_each_item_once",
        "epoch_checks.trains_as_it_evaluates": "trains_on_each_item_once",
        "epoch_checks.keeps_no_state": "trains_on_each_item_once metrics_are_numbers",
        "metric_checks.counts_its_items": "sums_add_up keeps_no_state",
        "metric_checks.better_outputs_score_better": "counts_its_items",
        "metric_checks.baseline_is_plausible": "baseline_is_of_its_metrics better_outputs_score_better",
        "metric_checks.predicts_the_targets": "answers_each_input better_outputs_score_better",
        "feeding_checks.refuses_unfit_cards": "tiny_data_fits",
        "feeding_checks.refuses_other_data": "evaluates_each_item_once trains_as_it_evaluates",
        "feeding_checks.reads_its_items": "tiny_data_fits",
        "feeding_checks.reads_uploads": "tiny_data_fits",
        "field_checks.uses_its_fields": "step_gives_loss_and_sums",
    },
    "group": {
        "field_checks.fields_are_described": "",
        "field_checks.fields_can_be_typed": "",
    },
    "dataset": {
        "file_checks.works_offline": "",
        "option_checks.options_are_typed": "works_offline",
        "dataset_checks.cards_name_no_files": "options_are_typed",
        "dataset_checks.dims_are_declared": "works_offline",
        "dataset_checks.has_three_splits": "dims_are_declared",
        "dataset_checks.items_fit_dims": "has_three_splits",
        "dataset_checks.same_items_twice": "items_fit_dims",
        "data_checks.splits_differ": "same_items_twice",
        "dataset_checks.fetches_its_items": "same_items_twice",
        "dataset_checks.same_fingerprint_twice": "dims_are_declared",
        "dataset_checks.fingerprint_follows_the_data": "same_fingerprint_twice same_items_twice",
        "data_checks.preprocess_is_json": "dims_are_declared",
        "data_checks.preprocess_feeds_new_input": "items_fit_dims preprocess_is_json",
        "file_checks.refuses_missing_files": "items_fit_dims",
        "file_checks.refuses_damaged_files": "refuses_missing_files",
        "data_checks.labels_in_range": "same_items_twice preprocess_is_json",
        "dataset_checks.trains_a_model": "fetches_its_items preprocess_is_json labels_in_range",
        "data_checks.text_decodes": "items_fit_dims preprocess_feeds_new_input",
        "unused_checks.uses_its_options": "same_items_twice options_are_typed",
    },
    "architecture": {
        "building_checks.builds": "",
        "option_checks.options_are_typed": "",
        "building_checks.same_seed_same_weights": "builds",
        "building_checks.builds_on_meta": "builds",
        "output_checks.output_shape": "builds",
        "output_checks.follows_its_dims": "output_shape",
        "output_checks.eval_changes_nothing": "output_shape",
        "output_checks.eval_is_deterministic": "eval_changes_nothing",
        "output_checks.batch_mates_do_not_matter": "eval_is_deterministic",
        "output_checks.landmarks_resolve": "output_shape",
        "training_checks.same_shape_in_training": "eval_changes_nothing",
        "training_checks.eval_agrees_with_training": "same_shape_in_training eval_is_deterministic",
        "training_checks.first_loss_near_uniform": "same_shape_in_training",
        "training_checks.fits_its_inputs": "same_seed_same_weights",
        "training_checks.every_parameter_gets_a_gradient": "same_shape_in_training",
        "training_checks.draws_from_the_seed": "same_shape_in_training",
        "training_checks.training_is_reproducible": (
            "same_shape_in_training same_seed_same_weights eval_is_deterministic"
        ),
        "training_checks.use_changes_nothing": "same_shape_in_training",
        "training_checks.leaves_modes_and_settings": "same_shape_in_training",
        "training_checks.trains_in_bf16": "same_shape_in_training",
        "training_checks.overfits_one_batch": "same_shape_in_training eval_is_deterministic",
        "unused_checks.uses_its_options": "overfits_one_batch options_are_typed",
        "training_checks.names_its_pretrained_weights": "builds",
        "building_checks.refuses_bad_options": "same_shape_in_training options_are_typed",
        "moving_checks.saves_and_loads": "same_shape_in_training builds_on_meta eval_is_deterministic",
        "moving_checks.deep_copies": "same_shape_in_training eval_is_deterministic",
        "moving_checks.moves_dtype_and_device": "saves_and_loads deep_copies",
        "language_checks.causal": "eval_is_deterministic",
        "language_checks.any_length_and_batch": "causal",
        "language_checks.carries_state": "any_length_and_batch",
        "language_checks.state_detaches": "same_shape_in_training",
        "language_checks.state_can_be_saved": "state_detaches training_is_reproducible",
        "language_checks.penalty_trains": "same_shape_in_training",
        "moving_checks.exports": (
            "batch_mates_do_not_matter eval_is_deterministic eval_changes_nothing "
            "landmarks_resolve leaves_modes_and_settings saves_and_loads deep_copies causal "
            "any_length_and_batch carries_state"
        ),
    },
    "analyzer": {
        "analyzer_checks.finite": "",
        "option_checks.options_are_typed": "finite",
        "analyzer_checks.can_be_written": "finite",
        "analyzer_checks.answers_what_was_asked": "finite",
        "analyzer_checks.deterministic": "finite",
        "analyzer_checks.maps_are_of_their_images": "answers_what_was_asked deterministic",
        "analyzer_checks.maps_are_upright": "answers_what_was_asked deterministic",
        "analyzer_checks.figures_draw": "finite",
        "analyzer_checks.finite_on_constant_input": "finite",
        "analyzer_checks.sensitive_to_class": "answers_what_was_asked deterministic",
        "analyzer_checks.sensitive_to_weights": "deterministic",
        "analyzer_checks.follows_its_reference": "deterministic",
        "analyzer_checks.ignores_labels": "deterministic",
        "analyzer_checks.declares_its_needs": "finite",
        "analyzer_checks.refuses_what_it_lacks": "finite",
        "analyzer_checks.leaves_model_untouched": "finite",
        "unused_checks.uses_its_options": "deterministic options_are_typed",
        "analyzer_checks.untouched_after_an_error": "leaves_model_untouched",
    },
    "command": {
        "command_checks.shows_its_help": "",
        "command_checks.takes_json_and_quiet": "",
        "command_checks.refuses_missing_weights": "",
    },
    "exporter": {
        "exporter_checks.programs_answer_alike": "",
        "option_checks.options_are_typed": "",
        "unused_checks.uses_its_options": "options_are_typed",
        "exporter_checks.equal_models_equal_files": "programs_answer_alike",
        "exporter_checks.reads_without_torch": "equal_models_equal_files",
        "exporter_checks.refuses_what_it_did_not_write": "reads_without_torch",
    },
    "optimizer": {
        "option_checks.options_are_typed": "",
        "method_checks.makes_an_optimizer": "options_are_typed",
        "method_checks.follows_its_rate": "makes_an_optimizer",
        "method_checks.trains": "makes_an_optimizer",
        "method_checks.resumes_exactly": "makes_an_optimizer",
        "unused_checks.uses_its_options": "trains",
    },
    "schedule": {
        "option_checks.options_are_typed": "",
        "method_checks.returns_rates": "options_are_typed",
        "method_checks.remembers_nothing": "returns_rates",
        "unused_checks.uses_its_options": "remembers_nothing",
    },
    "augmentation": {
        "option_checks.options_are_typed": "",
        "method_checks.returns_images": "options_are_typed",
        "method_checks.draws_from_its_draws": "returns_images",
        "method_checks.augments_each_image_alone": "draws_from_its_draws",
        "method_checks.changes_what_it_says": "draws_from_its_draws",
        "unused_checks.uses_its_options": "draws_from_its_draws",
    },
    "metric": {
        "option_checks.options_are_typed": "",
        "method_checks.measures": "options_are_typed",
        "method_checks.measures_each_item_alone": "measures",
        "method_checks.right_outputs_score_better": "measures",
        "unused_checks.uses_its_options": "measures",
    },
    "tokenizer": {
        "method_checks.restores_its_text": "",
    },
    "tracker": {
        "tracker_checks.makes_a_tracker": "",
        "option_checks.options_are_typed": "makes_a_tracker",
        "unused_checks.uses_its_options": "options_are_typed",
        "tracker_checks.continues_its_runs": "makes_a_tracker",
        "tracker_checks.leaves_the_run_alone": "continues_its_runs",
        "tracker_checks.stores_what_it_logs": "continues_its_runs",
    },
}
# What an entry may skip whose other checks ran: it may need the network, or what few models have
_MAY_SKIP = {
    "weights_are_intact",
    "weights_fit_their_recipe",
    "weights_score_as_claimed",
    "names_its_pretrained_weights",
    "exports",
    "trains_a_model",
    "better_outputs_score_better",
    "baseline_is_plausible",
    "predicts_the_targets",
    "reads_its_items",
}
_THOROUGH = {"weights_score_as_claimed", "exports"}


def _check(kind: CheckKind, place: str, needs: str) -> Check:
    module, _, name = place.partition(".")
    return Check(
        module,
        kind,
        name,
        tuple(needs.split()),
        task="language-modeling" if module == "language_checks" or name == "text_decodes" else None,
        dim="num_classes" if name == "labels_in_range" else None,
        may_skip=name in _MAY_SKIP,
        thorough=name in _THOROUGH,
    )


CHECKS: tuple[Check, ...] = tuple(
    _check(kind, place, needs) for kind, checks in _NEEDS.items() for place, needs in checks.items()
)

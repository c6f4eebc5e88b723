"""The table of checks: what a plugin promises, and which promises rest on which."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.testing._case import Check, CheckKind

__all__ = ["CHECKS"]


def _checks(
    module: str,
    kind: CheckKind,
    needs_by_name: Mapping[str, tuple[str, ...]],
    *,
    task: str | None = None,
    dim: str | None = None,
    may_skip: bool = False,
    thorough: bool = False,
) -> tuple[Check, ...]:
    """Return the checks of one module, each with the checks that it needs."""
    return tuple(
        Check(module, kind, name, needs, task, dim, may_skip, thorough)
        for name, needs in needs_by_name.items()
    )


CHECKS: tuple[Check, ...] = (
    *_checks(
        "plugin_checks",
        "plugin",
        {
            "loads": (),
            "imports_without_torch": ("loads",),
            "imports_quickly": ("imports_without_torch",),
            "imports_silently": ("imports_without_torch",),
            "targets_resolve": ("loads",),
            "import_changes_nothing": ("targets_resolve",),
            "imports_offline": ("targets_resolve",),
            "summaries_are_one_line": ("loads",),
        },
    ),
    *_checks(
        "catalog_checks",
        "recipe",
        {"recipes_name_entries": (), "recipes_have_valid_options": ("recipes_name_entries",)},
    ),
    *_checks(
        "catalog_checks",
        "weights",
        {
            "weights_are_intact": (),
            "weights_fit_their_recipe": (),
        },
        may_skip=True,
    ),
    *_checks(
        "catalog_checks",
        "weights",
        {"weights_score_as_claimed": ("weights_fit_their_recipe",)},
        may_skip=True,
        thorough=True,
    ),
    *_checks(
        "building_checks",
        "architecture",
        {
            "builds": (),
            "options_are_typed": (),
            "same_seed_same_weights": ("builds",),
            "builds_on_meta": ("builds",),
        },
    ),
    *_checks(
        "output_checks",
        "architecture",
        {
            "output_shape": ("builds",),
            "follows_its_dims": ("output_shape",),
            "eval_changes_nothing": ("output_shape",),
            "eval_is_deterministic": ("eval_changes_nothing",),
            "batch_mates_do_not_matter": ("eval_is_deterministic",),
            "landmarks_resolve": ("output_shape",),
        },
    ),
    *_checks(
        "training_checks",
        "architecture",
        {
            "same_shape_in_training": ("eval_changes_nothing",),
            "first_loss_near_uniform": ("same_shape_in_training",),
            "fits_its_inputs": ("same_seed_same_weights",),
            "every_parameter_gets_a_gradient": ("same_shape_in_training",),
            "draws_from_the_seed": ("same_shape_in_training",),
            "training_is_reproducible": (
                *("same_shape_in_training", "same_seed_same_weights", "eval_is_deterministic"),
            ),
            "use_changes_nothing": ("same_shape_in_training",),
            "leaves_modes_and_settings": ("same_shape_in_training",),
            "trains_in_bf16": ("same_shape_in_training",),
            "overfits_one_batch": ("same_shape_in_training", "eval_is_deterministic"),
        },
    ),
    *_checks("training_checks", "architecture", {"names_its_pretrained_weights": ("builds",)}, may_skip=True),
    *_checks(
        "building_checks",
        "architecture",
        {"refuses_bad_options": ("same_shape_in_training", "options_are_typed")},
    ),
    *_checks(
        "moving_checks",
        "architecture",
        {
            "saves_and_loads": ("same_shape_in_training", "builds_on_meta", "eval_is_deterministic"),
            "deep_copies": ("same_shape_in_training", "eval_is_deterministic"),
            "moves_dtype_and_device": ("saves_and_loads", "deep_copies"),
        },
    ),
    *_checks(
        "language_checks",
        "architecture",
        {
            "causal": ("eval_is_deterministic",),
            "any_length_and_batch": ("causal",),
            "carries_state": ("any_length_and_batch",),
            "state_detaches": ("same_shape_in_training",),
            "state_can_be_saved": ("state_detaches", "training_is_reproducible"),
            "penalty_trains": ("same_shape_in_training",),
        },
        task="language-modeling",
    ),
    *_checks(
        "moving_checks",
        "architecture",
        {  # what a program may get wrong for a reason of its own is found first
            "exports": (
                *("batch_mates_do_not_matter", "eval_is_deterministic", "eval_changes_nothing"),
                *("landmarks_resolve", "leaves_modes_and_settings", "saves_and_loads", "deep_copies"),
                *("causal", "any_length_and_batch", "carries_state"),
            ),
        },
        may_skip=True,
        thorough=True,
    ),
    *_checks("file_checks", "dataset", {"works_offline": ()}),
    *_checks(
        "dataset_checks",
        "dataset",
        {
            "reads_by_typed_options": ("works_offline",),
            "cards_name_no_files": ("reads_by_typed_options",),
            "dims_are_declared": ("works_offline",),
            "has_three_splits": ("dims_are_declared",),
            "items_fit_dims": ("has_three_splits",),
            "same_items_twice": ("items_fit_dims",),
            "splits_differ": ("same_items_twice",),
            "fetches_its_items": ("same_items_twice",),
            "same_fingerprint_twice": ("dims_are_declared",),
            "fingerprint_follows_the_data": ("same_fingerprint_twice", "same_items_twice"),
            "preprocess_is_json": ("dims_are_declared",),
            "preprocess_feeds_new_input": ("items_fit_dims", "preprocess_is_json"),
            "order_is_reproducible": ("fetches_its_items", "preprocess_is_json"),
        },
    ),
    *_checks(
        "file_checks",
        "dataset",
        {"refuses_missing_files": ("items_fit_dims",), "refuses_damaged_files": ("refuses_missing_files",)},
    ),
    *_checks(
        "dataset_checks",
        "dataset",
        {"labels_in_range": ("same_items_twice", "preprocess_is_json")},
        dim="num_classes",
    ),
    *_checks(
        "dataset_checks",
        "dataset",
        {"trains_a_model": ("order_is_reproducible", "labels_in_range")},
        may_skip=True,
    ),
    *_checks(
        "dataset_checks",
        "dataset",
        {"text_decodes": ("items_fit_dims", "preprocess_feeds_new_input")},
        task="language-modeling",
    ),
    *_checks(
        "analyzer_checks",
        "analyzer",
        {
            "finite": (),
            "looks_by_typed_options": ("finite",),
            "can_be_written": ("finite",),
            "answers_what_was_asked": ("finite",),
            "deterministic": ("finite",),
            "maps_are_of_their_images": ("answers_what_was_asked", "deterministic"),
            "maps_are_upright": ("answers_what_was_asked", "deterministic"),
            "figures_draw": ("finite",),
            "finite_on_constant_input": ("finite",),
            "sensitive_to_class": ("answers_what_was_asked", "deterministic"),
            "sensitive_to_weights": ("deterministic",),
            "follows_its_reference": ("deterministic",),
            "declares_its_needs": ("finite",),
            "refuses_what_it_lacks": ("finite",),
            "leaves_model_untouched": ("finite",),
            "untouched_after_an_error": ("leaves_model_untouched",),
        },
    ),
    *_checks(
        "task_checks",
        "task",
        {
            "makes_a_task": (),
            "tiny_data_fits": ("makes_a_task",),
            "batches_follow_from_their_place": ("tiny_data_fits",),
            "parts_make_the_batch": ("trains_on_each_item_once",),
            "evaluates_each_item_once": ("tiny_data_fits",),
            "step_gives_loss_and_sums": ("batches_follow_from_their_place",),
            "sums_add_up": ("step_gives_loss_and_sums", "evaluates_each_item_once"),
            "metrics_are_numbers": ("step_gives_loss_and_sums", "evaluates_each_item_once"),
            "baseline_is_of_its_metrics": ("keeps_no_state",),
            "prepares_its_items": ("evaluates_each_item_once",),
            "answers_each_input": ("step_gives_loss_and_sums", "evaluates_each_item_once"),
            "processes_without_torch": ("answers_each_input",),
        },
    ),
    *_checks(
        "epoch_checks",
        "task",
        {
            "trains_on_each_item_once": ("batches_follow_from_their_place", "evaluates_each_item_once"),
            "shuffles_each_epoch": ("trains_on_each_item_once",),
            "trains_as_it_evaluates": ("trains_on_each_item_once",),
            "keeps_no_state": ("trains_on_each_item_once", "metrics_are_numbers"),
        },
    ),
    *_checks("metric_checks", "task", {"counts_its_items": ("sums_add_up", "keeps_no_state")}),
    *_checks(
        "metric_checks",
        "task",
        {
            "better_outputs_score_better": ("counts_its_items",),
            "baseline_is_plausible": ("baseline_is_of_its_metrics", "better_outputs_score_better"),
            "predicts_the_targets": ("answers_each_input", "better_outputs_score_better"),
        },
        may_skip=True,
    ),
    *_checks(
        "feeding_checks",
        "task",
        {
            "refuses_unfit_cards": ("tiny_data_fits",),
            "refuses_other_data": ("evaluates_each_item_once", "trains_as_it_evaluates"),
        },
    ),
    *_checks("feeding_checks", "task", {"reads_its_items": ("tiny_data_fits",)}, may_skip=True),
    *_checks("field_checks", "task", {"uses_its_fields": ("step_gives_loss_and_sums",)}),
    *_checks("group_checks", "group", {"fields_are_described": (), "fields_can_be_typed": ()}),
    *_checks(
        "command_checks",
        "command",
        {"shows_its_help": (), "takes_json_and_quiet": (), "refuses_missing_weights": ()},
    ),
    *_checks(
        "exporter_checks",
        "exporter",
        {
            "programs_answer_alike": (),
            "equal_models_equal_files": ("programs_answer_alike",),
            "reads_without_torch": ("equal_models_equal_files",),
            "refuses_what_it_did_not_write": ("reads_without_torch",),
        },
    ),
)

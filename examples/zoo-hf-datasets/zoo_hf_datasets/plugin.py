"""The entry of zoo-hf-datasets."""

from zoo import DatasetSpec, hookimpl

api = 1


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    return [
        DatasetSpec(
            name="saved",
            target="zoo_hf_datasets.saved:Saved",
            task="classification",
            summary="Images saved by Hugging Face's `save_to_disk`: --data path=FOLDER",
            source="https://huggingface.co/docs/datasets",
        )
    ]

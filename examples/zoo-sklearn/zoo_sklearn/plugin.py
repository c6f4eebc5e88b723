"""The entry of zoo-sklearn."""

from zoo import DatasetSpec, hookimpl

api = 1


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    return [
        DatasetSpec(
            name="digits",
            target="zoo_sklearn.digits:Digits",
            task="classification",
            summary="1,797 handwritten digits of 8×8 pixels, enlarged; bundled with scikit-learn",
            license="CC BY 4.0",
            source="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI",
        )
    ]

"""The entries of zoo-bpe."""

from zoo import DatasetSpec, TokenizerSpec, hookimpl

api = 1
SOURCE = "Sennrich et al. 2016, arXiv 1508.07909"


@hookimpl
def zoo_tokenizers():
    """Return the tokenizer."""
    summary = "Byte-pair encoding: tokens from repeatedly merging the most frequent pair"
    return [TokenizerSpec(name="bpe", target="zoo_bpe.bpe:tokenize", summary=summary, source=SOURCE)]


@hookimpl
def zoo_datasets():
    """Return the dataset."""
    return [
        DatasetSpec(
            name="texts",
            target="zoo_bpe.texts:Texts",
            task="language-modeling",
            summary="Your own text in tokens of a byte-pair encoding: --data path=FILE",
            source=SOURCE,
        )
    ]

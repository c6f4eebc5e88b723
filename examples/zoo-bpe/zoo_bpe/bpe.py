"""Learn and apply a byte-pair encoding, whose tokens are pieces of words with the space before them."""

import functools
import json
from itertools import pairwise

from tokenizers import (  # pyright: ignore[reportMissingImports]
    Regex,
    Tokenizer,
    models,
    pre_tokenizers,
    trainers,
)

# Merges stay within a word or a run of punctuation, together with the space before it
WORDS = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]+|\s"), "isolated")


def learn(text, vocab_size):
    """Return the vocabulary, whose first token is `<unk>`, and the merges, pairs of tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = WORDS
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1, initial_alphabet=sorted({*text}), show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return ["<unk>", *sorted(model["vocab"], key=model["vocab"].get)], model["merges"]


def tokenize(text, preprocess):
    """Split text into tokens, which equal the text when joined; unknown characters stay single tokens."""
    tokenizer = _tokenizer(json.dumps(preprocess["merges"]))
    words = [word for word, _ in WORDS.pre_tokenize_str(text)]
    return [token for word in words for token in tokenizer(word)]


@functools.lru_cache(8)
def _tokenizer(merges):
    """Return a function that splits a word by merging pairs, the earliest learned first."""
    ranks = {tuple(pair): rank for rank, pair in enumerate(json.loads(merges))}

    @functools.lru_cache(100_000)
    def split(word):
        parts = [*word]
        while len(parts) > 1:
            pairs = [ranks.get(pair, len(ranks)) for pair in pairwise(parts)]
            first = min(range(len(pairs)), key=pairs.__getitem__)
            if pairs[first] == len(ranks):
                break
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        return tuple(parts)

    return split

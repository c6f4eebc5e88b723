"""Files: atomic writes, the safetensors container, cards, the cache, downloads. Torch-free."""

"""What is kept on disk: atomic writes, the safetensors container, cards, the cache, downloads. Torch-free."""

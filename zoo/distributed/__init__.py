"""One training in several processes, on torch.distributed: ranks, parts of batches, BatchNorm."""

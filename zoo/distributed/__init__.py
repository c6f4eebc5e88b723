"""Distributed training on torch.distributed: ranks, parts of batches, BatchNorm."""

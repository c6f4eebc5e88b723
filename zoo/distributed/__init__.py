"""Distributed training with torch.distributed: ranks, batch sharding, synchronized BatchNorm."""

"""A single training process, or all processes started by torchrun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from models.devices import choose_device


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedProcesses:
    """This process among `count`, and the device that it trains on."""

    rank: int
    count: int
    device: torch.device

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network to call, so that all processes share their gradients."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def mean(self, value: float) -> float:
        """Return the mean over all processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, device=self.device)
        distributed.all_reduce(total)
        return float(total) / self.count


@contextmanager
def joined(device: str) -> Iterator[DistributedProcesses]:
    """Join the processes started by torchrun, or run as the only one."""
    chosen = choose_device(device)
    if not distributed.is_torchelastic_launched():
        yield DistributedProcesses(rank=0, count=1, device=chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    rank = distributed.get_rank()
    if chosen.type == "cuda":
        chosen = torch.device("cuda", rank % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    try:
        yield DistributedProcesses(rank=rank, count=distributed.get_world_size(), device=chosen)
    finally:
        distributed.destroy_process_group()

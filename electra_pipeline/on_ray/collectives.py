"""Collectives of training workers on the network of Ray's nodes.

Imports Ray; `training.start_fit` imports it where it is needed.
"""

import os
from dataclasses import dataclass

import psutil
import ray.util
from ray.train.backend import Backend
from ray.train.torch import TorchConfig


def interface_of(ip: str) -> str | None:
    """Return the network interface of this machine with the address `ip`."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == ip for each in addresses):
            return name
    return None


def use_nodes_network() -> None:
    """Make gloo use the interface of this node's address, unless the user has chosen one.

    By default it uses that of the host's name, which many systems resolve to a loopback address
    (Debian: 127.0.1.1) that no other node can reach.
    """
    interface = interface_of(ray.util.get_node_ip_address())
    if interface is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


_TorchBackend: type[Backend] = TorchConfig().backend_cls


class _NodesNetworkBackend(_TorchBackend):  # type: ignore[misc]
    def on_start(self, worker_group, backend_config):  # type: ignore[no-untyped-def]
        worker_group.execute(use_nodes_network)
        super().on_start(worker_group, backend_config)


@dataclass
class NodesNetworkConfig(TorchConfig):  # type: ignore[misc]
    """Ray Train's `TorchConfig`, with gloo on the network of the nodes."""

    @property
    def backend_cls(self) -> type[Backend]:
        return _NodesNetworkBackend

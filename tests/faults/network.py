"""Nodes of a Ray cluster in network namespaces of their own, whose cables can be cut: needs root.

The driver's node is at one end of each cable, and no other is on the way from it to the others.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.faults.stack import kill

BRIDGE = "electra-nodes"
SUBNET = "10.203.77"
HEAD_IP = f"{SUBNET}.1"
# Set to 0, as for clusters within one process, it keeps `ray start` from joining any.
REFUSED_BY_RAY = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",)


def is_permitted() -> bool:
    """Whether this process may make such a network, which is tried, and has `ip` to do it."""
    try:
        network = Network()
        try:
            network.add_place()
        finally:
            network.close()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Network:
    """A bridge with the driver's address, and a namespace a node."""

    def __init__(self) -> None:
        self.namespaces: list[str] = []
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{HEAD_IP}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")

    def add_place(self) -> tuple[str, str]:
        """A namespace with a cable to the bridge, and its address."""
        number = len(self.namespaces) + 2
        name, ip = f"{BRIDGE}-{number}", f"{SUBNET}.{number}"
        _ip("netns", "add", name)
        self.namespaces.append(name)
        inside = ("netns", "exec", name, "ip")
        _ip("link", "add", _cable(number), "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", _cable(number), "master", BRIDGE, "up")
        _ip(*inside, "addr", "add", f"{ip}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip(*inside, "link", "set", device, "up")
        return name, ip

    def add_node(self, address: str, object_store_bytes: int) -> str:
        """Start a node of one CPU that joins the cluster at `address`; returns its own."""
        name, ip = self.add_place()
        start = ["start", "--block", f"--address={address}", "--num-cpus=1"]
        start += [f"--node-ip-address={ip}"]
        start += [f"--object-store-memory={object_store_bytes}", "--disable-usage-stats"]
        psutil.Popen(
            ["ip", "netns", "exec", name, str(Path(sys.executable).with_name("ray")), *start],
            env={key: value for key, value in os.environ.items() if key not in REFUSED_BY_RAY},
            stdout=subprocess.DEVNULL,
        )
        return ip

    def cut(self, ip: str) -> None:
        """Drop all packets to and from the node at `ip` silently."""
        _ip("link", "set", _cable(int(ip.rsplit(".", 1)[1])), "down")

    def mend(self, ip: str) -> None:
        _ip("link", "set", _cable(int(ip.rsplit(".", 1)[1])), "up")

    def close(self) -> None:
        for name in self.namespaces:
            pids = _ip("netns", "pids", name).split()
            kill([psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))])
            _ip("netns", "del", name)  # and its end of the cable, and so the other
        _ip("link", "del", BRIDGE)


def _cable(number: int) -> str:
    return f"electra-{os.getpid() % 10_000}-{number}"[:15]


def _ip(*arguments: str) -> str:
    finished = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return finished.stdout

"""A Ray to roll out on: a cluster that runs already, or one that is started here. What goes wrong is one line, soon."""

from __future__ import annotations

import os
import socket
from concurrent.futures import Executor, wait
from typing import Any

from rxt_mrl.errors import UserError

from .config import RolloutSettings

_PATIENCE = 10.0
"""Seconds for a connection, and for the first answer. Ray itself tries a dead address for almost three minutes."""
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a gRPC client begins: the preface of HTTP/2 and a frame of no settings; a server answers with its settings."""
_SETTINGS = 4


def connect(ray: Any, settings: RolloutSettings, thread: Executor) -> None:
    """Connect to the cluster of ``rollout.address``, else of ``RAY_ADDRESS``, else start Ray on this machine.

    Args:
        ray: the module.
        settings: workers, address, size of the object store.
        thread: where Ray is started; what it starts ends with this thread.

    Raises:
        UserError: when nothing like Ray answers there, or Ray does not start.
    """
    name, address = "rollout.address", settings.address
    if address is None:
        name, address = "RAY_ADDRESS", os.environ.get("RAY_ADDRESS")
    shared = bool(address) and address != "local"
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "ignore_reinit_error": True}
    if shared:
        what = f"{name} = {address!r}"
        options["address"] = address
    else:
        what = f"rollout.workers = {settings.workers}"
        options |= {
            "address": "local",
            "num_cpus": max(settings.workers, 1),
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": settings.object_store_mb * 2**20,
        }
    try:
        if shared:
            _check_alive(ray, str(address))
        _start(ray, options, thread)
    except Exception as error:  # Ray raises whatever, a bare Exception too
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hint = "; RAY_TMPDIR names a shorter folder for Ray's sockets" if "AF_UNIX" in first else ""
        raise UserError(f"{what}: Ray {'does not answer' if shared else 'does not start'}: {first}{hint}") from error


def _start(ray: Any, options: dict[str, Any], thread: Executor) -> None:
    """``ray.init`` in another thread, where Ray does not put its own handler of SIGTERM in the place of ours."""
    started = thread.submit(ray.init, **options)
    try:
        started.result()
    finally:
        wait([started])  # when we are interrupted: what began half is ended whole


def _check_alive(ray: Any, address: str) -> None:
    """Raise an OSError unless a gRPC server answers at an address.

    Raises:
        OSError: with the reason.
        ValueError: for an address that is none.
    """
    if address == "auto":
        address = ray._private.services.canonicalize_bootstrap_address(address) or ""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is HOST:PORT, ray://HOST:PORT, auto (the cluster of this machine) or local")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return  # what comes would be encrypted
        connection.settimeout(_PATIENCE)
        connection.sendall(_HELLO)
        reply = connection.recv(9)
    if len(reply) < 4 or reply[3] != _SETTINGS:
        raise OSError("what listens there is not Ray")

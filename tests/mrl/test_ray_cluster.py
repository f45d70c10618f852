"""An existing Ray cluster: rolled out on, survived when a node dies, and explained in one line when it is not there."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.mrl import ray_cluster
from rxt_mrl.mrl.config import RolloutSettings
from rxt_mrl.mrl.curriculum import fixed_plan
from rxt_mrl.mrl.pool import LocalPool
from rxt_mrl.mrl.ray_workers import make_pool


def connect(ray, **settings):
    with ThreadPoolExecutor(1) as thread:
        ray_cluster.connect(ray, RolloutSettings(**settings), thread)


def refused(ray, **settings):
    with pytest.raises(UserError) as caught:
        connect(ray, workers=1, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def ray():
    """What would connect, if it was ever asked to."""
    asked = []
    return SimpleNamespace(init=lambda **options: asked.append(options), asked=asked)


@pytest.fixture
def listener():
    """Somebody who accepts, and answers what is given."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = [b""]

        def serve():
            try:
                while True:
                    connection, _ = server.accept()
                    if answer[0]:
                        connection.sendall(answer[0])
                        connection.close()
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        yield SimpleNamespace(address=f"127.0.0.1:{server.getsockname()[1]}", answer=answer)


@pytest.fixture
def dead():
    """An address where somebody was."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_stale_address_is_one_line_at_once(ray, dead, monkeypatch):
    assert refused(ray, address=dead).startswith(f"rollout.address = '{dead}': Ray does not answer: ")
    monkeypatch.setenv("RAY_ADDRESS", f"ray://{dead}")
    assert refused(ray).startswith(f"RAY_ADDRESS = 'ray://{dead}': Ray does not answer: ")
    assert not ray.asked


@pytest.mark.parametrize("address", ["here", "host:", ":6379", "host:port", ""])
def test_what_is_no_address(ray, address):
    if not address:  # nothing: Ray is started here
        connect(ray, workers=3, address=address)
        assert ray.asked[0]["address"] == "local"
        assert ray.asked[0]["num_cpus"] == 3
    else:
        assert "an address is HOST:PORT" in refused(ray, address=address)


def test_who_listens_and_is_not_ray(ray, listener, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_PATIENCE", 0.2)
    assert "timed out" in refused(ray, address=listener.address)
    listener.answer[0] = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert "what listens there is not Ray" in refused(ray, address=listener.address)
    listener.answer[0] = bytes((0, 0, 6, 4, 0, 0, 0, 0, 0))  # settings, as a gRPC server sends them
    connect(ray, workers=1, address=listener.address)
    assert ray.asked[0]["address"] == listener.address


def test_the_setting_goes_before_the_environment(ray, dead, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", dead)
    connect(ray, workers=1, address="local")
    assert ray.asked[0]["address"] == "local"


@pytest.mark.slow
def test_a_socket_path_that_is_too_long_is_one_line(model, tmp_path, monkeypatch):
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    started = time.monotonic()
    with pytest.raises(
        UserError, match=r"^rollout.workers = 1: Ray does not start: .*AF_UNIX .*RAY_TMPDIR names"
    ) as caught:
        make_pool(model, RolloutSettings(workers=1))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_a_cluster_of_two_nodes_of_which_one_is_killed(make_model, setup_of):
    import ray
    from ray.cluster_utils import Cluster

    model = make_model()
    shards = fixed_plan(12, shard=3, seed=4)
    local = LocalPool(model)
    local.configure([setup_of(answers=4)])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        pool = make_pool(model, RolloutSettings(workers=2, address=cluster.address, timeout=240))
        try:
            pool.configure([setup_of(answers=4)])
            pool.sync()
            assert torch.equal(pool.rollout(shards).log_probs, local.rollout(shards).log_probs)

            homes = {node_of(actor): actor for actor in pool.actors}
            assert len(homes) == 2
            mine = ray.get_runtime_context().get_node_id()
            other = next(node for node in cluster.list_all_nodes() if node.node_id != mine)
            cluster.remove_node(other, allow_graceful=False)
            with pytest.raises(ray.exceptions.RayActorError):
                ask_for_ever(homes[other.node_id])  # a worker notices a little later that its node is gone
            assert torch.equal(pool.rollout(shards).log_probs, local.rollout(shards).log_probs)
            assert {node_of(actor) for actor in pool.actors} == {mine}
        finally:
            pool.close()
        assert not ray.is_initialized()
    finally:
        cluster.shutdown()


def node_of(actor):
    import ray

    return ray.get(actor.__ray_call__.remote(lambda worker: ray.get_runtime_context().get_node_id()))


def ask_for_ever(actor):
    while node_of(actor):
        time.sleep(0.1)

"""A written past says at each scrape what the exporters would have said then."""

from pathlib import Path

from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory, dcgm_scrapes, write_history
from aibudget.sandbox.snapshot import Container, Node, Owned, Owner, Pod

GPU = {"nvidia.com/gpu": 1.0}
POD = Pod("team-a", "p", "u", (Container("c", GPU),), created=100.0, node="n", utilisation=50.0)
NODE = Node("n", {"nvidia.com/gpu.product": "NVIDIA-L4"}, GPU, GPU)


def written(path: Path, history: History, *scrapes: ScrapeHistory) -> list[str]:
    """The file's lines."""
    samples = write_history(path / "history.om", history, scrapes)
    lines = (path / "history.om").read_text().splitlines()
    assert lines.pop() == "# EOF"
    assert len(lines) == samples
    return lines


def at(lines: list[str], name: str, *having: str) -> list[str]:
    """Timestamps of a family's lines that contain all these texts."""
    chosen = [line for line in lines if line.startswith(f"{name}{{") and all(text in line for text in having)]
    return [line.rsplit(" ", 1)[1] for line in chosen]


def test_pod_goes_through_its_states(tmp_path: Path) -> None:
    """Unbound, bound and pending, running, lingering finished, gone: each from its second on."""
    life = PodHistory(POD, bound=120, started=130, ended=150, removed=170)
    lines = written(tmp_path, History([life]), ScrapeHistory(90, 200, interval=10))
    phase = "kube_pod_status_phase"
    assert at(lines, phase, 'phase="Pending"', "} 1 ") == ["100.000", "110.000", "120.000"]
    assert at(lines, phase, 'phase="Running"', "} 1 ") == ["130.000", "140.000"]
    assert at(lines, phase, 'phase="Succeeded"', "} 1 ") == ["150.000", "160.000"]
    requests = "kube_pod_container_resource_requests"
    assert at(lines, requests, 'node=""') == ["100.000", "110.000"]
    assert at(lines, requests, 'node="n"') == ["120.000", "130.000", "140.000", "150.000", "160.000"]
    assert len(at(lines, "up")) == 11


def test_pod_that_was_never_bound_only_waits(tmp_path: Path) -> None:
    """Without `bound` the pod is Pending with no node until it is removed."""
    lines = written(tmp_path, History([PodHistory(POD, removed=140)]), ScrapeHistory(100, 200, interval=10))
    assert len(at(lines, "kube_pod_status_phase", 'phase="Pending"', "} 1 ")) == 4
    assert not at(lines, "kube_pod_container_resource_requests", 'node="n"')


def test_two_instances_differ_in_their_target_alone(tmp_path: Path) -> None:
    """A roll-over: each instance scrapes in its own time, under its own instance and pod."""
    old = ScrapeHistory(0, 60, interval=10, target={"instance": "old"})
    new = ScrapeHistory(50, 100, interval=10, offset=3, target={"instance": "new"})
    owner = Owned("ReplicaSet", "team-a", "rs", (Owner("Deployment", "d"),))
    lines = written(tmp_path, History([], [Present(owner)]), old, new)
    assert at(lines, "kube_replicaset_owner", 'instance="old"')[-1] == "50.000"
    assert at(lines, "kube_replicaset_owner", 'instance="new"')[0] == "53.000"
    assert at(lines, "up", 'instance="new"')[0] == "53.000"


def test_changed_node_label_is_a_new_series(tmp_path: Path) -> None:
    """Two presences of one node, one after the other."""
    changed = Node("n", {"pool": "b"}, GPU, GPU)
    present = [Present(NODE, 0, 50), Present(changed, 50)]
    lines = written(tmp_path, History([], present), ScrapeHistory(0, 100, interval=10))
    assert at(lines, "kube_node_labels", "NVIDIA-L4")[-1] == "40.000"
    assert at(lines, "kube_node_labels", 'label_pool="b"')[0] == "50.000"


def test_jitter_is_bounded_ordered_and_repeatable() -> None:
    """Scrapes stay near their plan, in order, and the same history is the same twice."""
    scrape = ScrapeHistory(0, 3600, interval=30, offset=7, jitter=2)
    times = scrape.times()
    assert times == sorted(times) == scrape.times()
    assert all(abs(time - (7 + 30 * step)) <= 2 for step, time in enumerate(times))
    assert len(times) == 120


def test_devices_of_the_past_are_attributed_as_exported(tmp_path: Path) -> None:
    """dcgm-exporter's series carry the holder in exported_* and idle while the pod still pulls."""
    life = PodHistory(POD, bound=100, started=110, ended=130, removed=130, devices=(3,))
    lines = written(tmp_path, History([life], [Present(NODE)]), dcgm_scrapes(100, 200, interval=10))
    name = "DCGM_FI_DEV_GPU_UTIL"
    assert at(lines, name, 'exported_pod="p"', 'gpu="3"', "} 0 ") == ["100.000"]
    assert at(lines, name, 'exported_pod="p"', 'namespace="gpu-operator"', "} 50 ") == ["110.000", "120.000"]


def test_families_limit_what_is_written(tmp_path: Path) -> None:
    """Only the named families, and `up` always."""
    path = tmp_path / "some.om"
    write_history(path, History([], [Present(NODE)]), [ScrapeHistory(0, 10)], families={"kube_node_labels"})
    assert [line.split("{")[0] for line in path.read_text().splitlines()] == [
        "up",
        "kube_node_labels",
        "# EOF",
    ]

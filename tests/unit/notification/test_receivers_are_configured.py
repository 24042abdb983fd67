"""The file of receivers: what it may say, who may name what, and errors that say what to write."""

import json
from pathlib import Path
from typing import Any

import pytest

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.notification.files import receivers
from aibudget.notification.receivers import InvalidReceivers, chosen

SECRET = "T0PS3CRET"

HOOK = {"name": "ops", "type": "Webhook", "url": "https://hooks.example/a"}


def written(path: Path, *given: dict[str, Any]) -> Path:
    """A file with these receivers."""
    file = path / "receivers.yaml"
    file.write_text(json.dumps({"receivers": list(given)}))
    return file


def budget(*names: str, namespace: str | None = "team-a") -> AIBudget | ClusterAIBudget:
    """A budget that names these receivers."""
    spec: dict[str, Any] = {"limit": {"amount": 1, "currency": "USD"}}
    if names:
        spec["notify"] = [{"name": name} for name in names]
    metadata = {"name": "b"} | ({"namespace": namespace} if namespace else {})
    head = {"apiVersion": "aibudget.io/v1alpha1", "metadata": metadata, "spec": spec}
    if namespace:
        return AIBudget.read(head | {"kind": "AIBudget"})
    spec["scope"] = {"namespaceSelector": {}}
    return ClusterAIBudget.read(head | {"kind": "ClusterAIBudget"})


def test_nothing_configured_is_no_receiver(tmp_path: Path) -> None:
    """An empty file is what a chart without receivers mounts."""
    for text in ("", "{}", "receivers: []"):
        (tmp_path / "receivers.yaml").write_text(text)
        assert receivers(tmp_path / "receivers.yaml") == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Ops"}, "receivers[0].name"),
        ({"type": "Pager"}, "receivers[0].type"),
        ({"url": None}, "receivers[0]: give url or urlFile, and not both"),
        ({"urlFile": "/nowhere"}, "receivers[0]: give url or urlFile, and not both"),
        ({"type": "Slack"}, "the url of a Slack webhook is a secret: give urlFile"),
        ({"url": None, "urlFile": "/nowhere"}, "receivers[0].urlFile: /nowhere is not there; mount it"),
        ({"caFile": "/nowhere"}, "receivers[0].caFile: /nowhere is not there; mount it"),
        ({"url": "http://hooks.example"}, "receivers[0]: is not encrypted; write https, or set allowHttp"),
        ({"url": f"https://me:{SECRET}@hooks.example"}, "receivers[0].url: must hold no user"),
        ({"url": f"ftp://{SECRET}"}, "receivers[0].url: is no http or https address; write https://"),
        ({"url": f"https://hooks.example:{SECRET}"}, "receivers[0].url: is no address; write https://"),
        ({"colour": "red"}, "receivers[0].colour: unknown field; check its spelling"),
        ({"allowedNetworks": ["10.0.0.1/8"]}, "receivers[0].allowedNetworks[0]"),
        ({"allowedNetworks": ["all"]}, "receivers[0].allowedNetworks[0]"),
        ({"namespaces": ["Team"]}, "receivers[0].namespaces[0]"),
        ({"headers": [{"name": "A b", "value": "x"}]}, "receivers[0].headers[0].name"),
        ({"headers": [{"name": "Host", "value": "x"}]}, "receivers[0].headers[0].name: is set by AIBudget"),
        ({"headers": [{"name": "A"}]}, "receivers[0].headers[0]: give value or valueFile"),
        ({"headers": [{"name": "A", "value": f"{SECRET}\n"}]}, "receivers[0].headers[0].value: must be one"),
        ({"headers": [{"name": "A", "valueFile": "/nowhere"}]}, "receivers[0].headers[0].valueFile"),
    ],
)
def test_a_fault_is_told_with_file_field_and_way_out(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """The operator does not start with it, and whoever reads the log can mend it; no secret is in it."""
    file = written(tmp_path, HOOK | change)

    with pytest.raises(InvalidReceivers) as caught:
        receivers(file)

    assert caught.value.message.startswith(f"{file}: ")
    assert said in caught.value.message
    assert caught.value.message.endswith("Correct it and start again.")
    assert SECRET not in caught.value.message


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """Two of a name would share a queue."""
    with pytest.raises(InvalidReceivers, match="must not list 'ops' twice"):
        receivers(written(tmp_path, HOOK, HOOK))


@pytest.mark.parametrize("content", [f"receivers: [{SECRET}: {{", f"{SECRET}", f"- {SECRET}"])
def test_what_is_no_configuration_is_not_repeated(tmp_path: Path, content: str) -> None:
    """Whoever mounts a Secret in the wrong place must not find it in the log."""
    file = tmp_path / "receivers.yaml"
    file.write_text(content)
    with pytest.raises(InvalidReceivers) as caught:
        receivers(file)
    assert SECRET not in caught.value.message
    assert SECRET not in repr(caught.value.__cause__)

    file.unlink()
    with pytest.raises(InvalidReceivers, match="cannot be read"):
        receivers(file)


def test_a_tenant_uses_no_other_tenant_s_channel(tmp_path: Path) -> None:
    """Without namespaces only ClusterAIBudgets may name it; that of others looks like none at all."""
    file = written(
        tmp_path,
        HOOK | {"name": "a", "namespaces": ["team-a"]},
        HOOK | {"name": "b", "namespaces": ["team-b"]},
        HOOK | {"name": "all", "namespaces": ["*"]},
        HOOK | {"name": "platform"},
    )
    configured = {one.name: one for one in receivers(file)}

    def of(budget: AIBudget | ClusterAIBudget) -> tuple[list[str], tuple[str, ...]]:
        found = chosen(budget, configured)
        return [one.name for one in found.receivers], found.unknown

    names = ("a", "b", "all", "platform", "typo")
    assert of(budget(*names)) == (["a", "all"], ("b", "platform", "typo"))
    assert of(budget(*names, namespace=None)) == (["a", "b", "all", "platform"], ("typo",))
    assert of(budget()) == ([], ())

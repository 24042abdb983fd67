"""Argo CD and Flux against a hold: by the recipes of the documentation they let it be, else they contest it.

The recipes are read out of the page itself; the tools are played by the writes that they make: Argo CD copies
what it ignores from the cluster into what it applies, Flux strips it where it differs.
"""

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from aibudget.inventory.kubernetes import Json
from cluster.enforcement.conftest import REPLICAS, Story

pytestmark = pytest.mark.cluster

PAGE = Path(__file__).parents[3] / "docs/how-to/live-with-gitops.md"


def recipe(name: str) -> Json:
    """The YAML that follows this mark on the page."""
    text = PAGE.read_text(encoding="utf-8").split(f"<!-- test: {name} -->", 1)[1]
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    made: Json = yaml.safe_load(found[1])
    return made


@dataclass
class ArgoCD:
    """What a sync of this Application writes for one Deployment."""

    story: Story
    application: Json

    def sync(self, git: Json) -> None:
        """Apply what Git has, and what the cluster has where differences are respected."""
        target, live = copy.deepcopy(git), self.story.deployment()
        options = self.application["spec"]["syncPolicy"].get("syncOptions", [])
        for rule in self.application["spec"].get("ignoreDifferences", []):
            matches = (rule.get("group", ""), rule["kind"]) == ("apps", "Deployment")
            if matches and "RespectIgnoreDifferences=true" in options:
                for pointer in rule["jsonPointers"]:
                    copy_field(live, target, pointer)
        if "ServerSideApply=true" in options:
            self.story.apply(target, manager="argocd-controller")
        else:
            arguments = ("apply", "--field-manager=argocd-controller", "-f-")
            self.story.ctl(*arguments, stdin=json.dumps(target))


@dataclass
class Flux:
    """What a reconciliation of this Kustomization writes for one Deployment."""

    story: Story
    kustomization: Json

    def sync(self, git: Json) -> None:
        """Server-side apply by force, without what is ignored and differs."""
        target, live = copy.deepcopy(git), self.story.deployment()
        for rule in self.kustomization["spec"].get("ignore", []):
            if re.fullmatch(rule["target"]["kind"], "Deployment"):
                for pointer in rule["paths"]:
                    if value_at(live, pointer) != value_at(target, pointer):
                        remove_field(target, pointer)
        self.story.apply(target, manager="kustomize-controller")


def argocd(story: Story, *, server_side: bool, recipe_followed: bool) -> ArgoCD:
    application = recipe("argocd")
    if not server_side:
        application["spec"]["syncPolicy"]["syncOptions"].remove("ServerSideApply=true")
    if not recipe_followed:
        application["spec"]["syncPolicy"]["syncOptions"].remove("RespectIgnoreDifferences=true")
    return ArgoCD(story, application)


def flux(story: Story, *, recipe_followed: bool) -> Flux:
    kustomization = recipe("flux")
    if not recipe_followed:
        del kustomization["spec"]["ignore"]
    return Flux(story, kustomization)


TOOLS: Mapping[str, Callable[[Story, bool], ArgoCD | Flux]] = {
    "argocd": lambda story, followed: argocd(story, server_side=False, recipe_followed=followed),
    "argocd-server-side": lambda story, followed: argocd(story, server_side=True, recipe_followed=followed),
    "flux": lambda story, followed: flux(story, recipe_followed=followed),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_with_the_recipe_a_hold_lasts_and_is_given_back(story: Story, tool: str) -> None:
    """A sync of something else in mid-hold restores nothing, and is no wish that it stay stopped."""
    gitops = TOOLS[tool](story, True)
    start(story, gitops)
    budget = story.budget()
    story.cycle(budget)
    assert story.replicas() == 0

    gitops.sync(story.manifest(labels={"release": "next"}))

    assert story.deployment()["metadata"]["labels"]["release"] == "next"
    assert story.replicas() == 0
    assert story.told(budget) == []
    story.cycle(story.relaxed(budget))
    assert story.replicas() == REPLICAS
    assert story.holds() == []
    gitops.sync(story.manifest(labels={"release": "next"}))
    assert story.replicas() == REPLICAS
    assert "aibudget" not in story.owners()


@pytest.mark.parametrize("tool", TOOLS)
def test_without_the_recipe_it_is_contested(story: Story, tool: str) -> None:
    """The tool puts it back, is counted, wins in the end, and is named."""
    gitops = TOOLS[tool](story, False)
    start(story, gitops)
    budget = story.budget()
    story.cycle(budget)
    told = story.contested(budget, lambda: gitops.sync(story.manifest()))
    assert story.conditions()["Contested"] == "True"
    assert ("kustomize-controller" if tool == "flux" else "argocd-controller") in told[-1].message
    assert story.replicas() == REPLICAS


@pytest.mark.parametrize("tool", TOOLS)
def test_left_out_of_git_it_lasts(story: Story, tool: str) -> None:
    """Git says nothing of replicas: no sync restores anything, with no recipe at all."""
    gitops = TOOLS[tool](story, False)
    story.ctl("apply", "--server-side", "-f-", stdin=json.dumps(story.manifest(replicas=None)))
    gitops.sync(story.manifest(replicas=None))
    story.ctl("scale", "deployment/llm", f"--replicas={REPLICAS}")
    story.wait_for_pods(REPLICAS)
    budget = story.budget()
    story.cycle(budget)

    gitops.sync(story.manifest(replicas=None, labels={"release": "next"}))

    assert story.replicas() == 0
    assert story.told(budget) == []
    story.cycle(story.relaxed(budget))
    assert story.replicas() == REPLICAS


def start(story: Story, gitops: ArgoCD | Flux) -> None:
    """The tool has applied the Deployment, and its pods run."""
    if (
        isinstance(gitops, ArgoCD)
        and "ServerSideApply=true" not in (gitops.application["spec"]["syncPolicy"]["syncOptions"])
    ):
        story.ctl("apply", "--field-manager=argocd-controller", "-f-", stdin=json.dumps(story.manifest()))
    else:
        manager = "kustomize-controller" if isinstance(gitops, Flux) else "argocd-controller"
        story.apply(story.manifest(), manager=manager)
    story.wait_for_pods(REPLICAS)


def value_at(obj: Json, pointer: str) -> Any:
    found: Any = obj
    for part in pointer.split("/")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def copy_field(source: Json, target: Json, pointer: str) -> None:
    *way, last = pointer.split("/")[1:]
    for part in way:
        target = target.setdefault(part, {})
    target[last] = value_at(source, pointer)


def remove_field(target: Json, pointer: str) -> None:
    *way, last = pointer.split("/")[1:]
    for part in way:
        target = target[part]
    target.pop(last, None)

"""Manifests as people keep them: YAML files of many documents, checked offline, each fault with its line.

Reads YAML as kubectl does (a time stays a string, ``10:30`` is not 630) and is stricter in one thing: a key
written twice is a fault, since the second one silently wins. Objects of other groups are counted and left
alone, for GitOps repositories mix them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from aibudget.api.kinds import parse
from aibudget.api.model import Resource
from aibudget.api.model import path as field_path
from aibudget.api.names import API_VERSION, GROUP
from aibudget.errors import InvalidManifest

Steps = tuple[str | int, ...]

_NULL: Final = "tag:yaml.org,2002:null"

_OBJECT_META: Final = frozenset(
    {
        *("name", "generateName", "namespace", "labels", "annotations", "ownerReferences", "finalizers"),
        *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
        *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where it is and what to do about it; ``path`` is empty where the file itself is at fault."""

    file: str
    line: int
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: " + (f"{self.path}: " if self.path else "") + self.reason


@dataclass(slots=True)
class Report:
    """What one file holds: its faults, how many objects of our group it has, how many of others.

    `valid` are those of ours in which `parse` found no fault.
    """

    problems: list[Problem] = field(default_factory=list)
    valid: list[Resource] = field(default_factory=list)
    checked: int = 0
    foreign: int = 0


def validate(file: str, content: bytes | str) -> Report:
    """Check every object of our group in a YAML (or JSON) file; ``file`` is its name in messages."""
    return _Check(file).run(content)


class _Check:
    def __init__(self, file: str) -> None:
        self._file = file
        self._report = Report()

    def run(self, content: bytes | str) -> Report:
        try:
            loader = _Loader(content)
            while loader.check_node():
                if (root := loader.get_node()) is not None:
                    self._document(loader, root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = ", ".join(part for part in (error.context, error.problem) if part)
            self._add(mark.line + 1 if mark else 1, "", f"is not YAML: {said}; what follows was not read")
        except yaml.YAMLError as error:
            self._add(1, "", f"is not YAML: {' '.join(str(error).split())}")
        except RecursionError:
            self._add(1, "", "is nested too deeply to be read; no manifest needs that")
        if not (self._report.problems or self._report.checked or self._report.foreign):
            self._add(1, "", "holds no object; write at least apiVersion, kind, metadata and spec")
        return self._report

    def _document(self, loader: "_Loader", root: yaml.Node) -> None:
        if isinstance(root, yaml.ScalarNode) and root.tag == _NULL:
            return  # an empty document between two separators
        if not isinstance(root, yaml.MappingNode):
            self._add(
                root.start_mark.line + 1, "", "is not an object; a manifest begins with apiVersion and kind"
            )
            return
        self._object(loader.construct_document(root), root, ())

    def _object(self, obj: Any, root: yaml.Node, at: Steps) -> None:
        if not isinstance(obj, Mapping):
            self._add(_line(root, at), field_path(at), "is not an object; a manifest has apiVersion and kind")
            return
        if obj.get("kind") == "List" and isinstance(obj.get("items"), list):
            for index, item in enumerate(obj["items"]):
                self._object(item, root, (*at, "items", index))
            return
        version = obj.get("apiVersion")
        if not isinstance(version, str) or "kind" not in obj:
            missing = "kind" if isinstance(version, str) else "apiVersion"
            self._add(
                _line(root, at), field_path((*at, missing)), f"is required; ours is apiVersion: {API_VERSION}"
            )
        elif version.partition("/")[0] != GROUP:
            self._report.foreign += 1
        else:
            self._report.checked += 1
            self._ours(obj, root, at)

    def _ours(self, obj: Mapping[str, Any], root: yaml.Node, at: Steps) -> None:
        prefix = field_path(at)
        faults = [
            (f"metadata.{key}", "unknown field; check its spelling, or remove it") for key in _strays(obj)
        ]
        try:
            self._report.valid.append(parse(obj))
        except InvalidManifest as error:
            faults += [(problem.path, problem.reason) for problem in error.problems]
        for path, reason in faults:
            whole = f"{prefix}.{path}".strip(".")
            self._add(_line(root, _steps(whole)), whole, reason)
        for steps, line in _duplicates(root):
            if steps[: len(at)] == at:
                self._add(
                    line, field_path(steps), "is written twice; keep one, or the last one wins silently"
                )

    def _add(self, line: int, path: str, reason: str) -> None:
        self._report.problems.append(Problem(self._file, line, path, reason))


def _strays(obj: Mapping[str, Any]) -> list[str]:
    metadata = obj.get("metadata")
    return [str(key) for key in metadata if key not in _OBJECT_META] if isinstance(metadata, Mapping) else []


def _steps(path: str) -> Steps:
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return tuple(int(index) if index else name for index, name in parts)


def _line(root: yaml.Node, steps: Steps) -> int:
    """The line of a field, or of the nearest thing around it that is there."""
    line, node = root.start_mark.line, root
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _duplicates(node: yaml.Node, at: Steps = (), seen: set[int] | None = None) -> Iterator[tuple[Steps, int]]:
    """Every key that its mapping holds twice, with the second one's line; each alias is walked once."""
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _duplicates(value, (*at, index), seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in keys:
                yield (*at, name), key.start_mark.line + 1
            keys.add(name)
            yield from _duplicates(value, (*at, name), seen)


class _Loader(yaml.SafeLoader):
    """YAML's plain data as kubectl understands it."""

    # A copy without times (strings to Kubernetes) and numbers (given below); PyYAML itself stays as it is.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A whole number is an integer, however it is written: Kubernetes stores 500.0 as 500."""
        number = float(self.construct_yaml_float(node))
        return int(number) if number.is_integer() else number


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)$"),
    list("-+0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_number)

"""Hold: one act of the operator on one workload or namespace; intent, original and audit in one object.

Claims are keyed by the budget's uid, not by kind and name: a budget that is deleted and made again under its
old name is another budget, and must inherit neither an approval nor a veto. Created before the act, so that a
crash in between leaves a trace; who may do what to it is ``enforcement``'s business.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.conditions import Conditions
from aibudget.api.fields import AmountText, Generation, Instant, Text
from aibudget.api.model import Observed, Resource, Value, celed, list_by, once_each_by, rule

HoldAction = Literal["Freeze", "Block", "ScaleDown"]
Decision = Literal["Pending", "Approved", "Vetoed", "Expired"]

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
Uid = Annotated[str, Field(min_length=1, max_length=64)]


class TargetRef(Value):
    """The one object that is held."""

    api_version: Annotated[str, Field(min_length=1, max_length=317)]
    """Its group and version."""
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    """Its kind."""
    name: Text
    """Its name, in the Hold's namespace; or that namespace's own."""
    uid: Uid
    """Its identity: an object made again under the same name is not held."""


class Claim(Value):
    """One budget that wants the target held."""

    kind: Literal["AIBudget", "ClusterAIBudget"]
    """The budget's kind."""
    name: Text
    """The budget's name."""
    uid: Uid
    """The budget's identity."""
    period_id: Annotated[str, Field(min_length=1, max_length=128)]
    """The period in which it was crossed; the claim ends with it."""
    threshold: Annotated[str, Field(min_length=1, max_length=63)]
    """The threshold that was crossed."""
    decision: Decision
    """Pending waits for a person, Approved acts, Vetoed leaves the target alone until the period ends;
    Expired was not decided in time, or is approved no longer, and leaves it alone until a higher
    threshold is crossed."""
    decided_by: Text | None = None
    """Who decided, where a person did."""
    decided_time: Instant | None = None
    """When the operator took note of that decision."""
    decided_until: Instant | None = None
    """Until when that decision holds, where its maker said so; the period's end if absent. Then what was
    approved is given back, and what was vetoed is asked for anew."""
    expire_time: Instant | None = None
    """When a decision that is still Pending lapses."""
    notice_time: Instant | None = None
    """When the notice began; the act comes a grace period later."""
    rank: Annotated[int | None, Field(ge=1, json_schema_extra={"format": "int32"})] = None
    """Its place among the victims that this budget could choose from; 1 is the first to be stopped."""
    reason: Annotated[str | None, Field(min_length=1, max_length=1024)] = None
    """Why it has this place, in a sentence."""


class Original(Value):
    """The value of one field before the act."""

    path: Annotated[str, Field(min_length=1, max_length=256, pattern="^/")]
    """JSON pointer of the field."""
    json_value: Annotated[str | None, Field(alias="json", max_length=4096)] = None
    """Its value as JSON; absent if the field was absent."""


class HoldSpec(Value):
    """What is held, for whom, and what to put back."""

    model_config = celed(
        rule(
            "self.targetRef == oldSelf.targetRef",
            "targetRef is immutable",
            ".targetRef",
            reason="FieldValueForbidden",
        ),
        rule("self.action == oldSelf.action", "action is immutable", ".action", reason="FieldValueForbidden"),
        rule(
            "!has(oldSelf.original) || (has(self.original) && self.original == oldSelf.original)",
            "original is written once; it is what will be put back",
            ".original",
            reason="FieldValueForbidden",
        ),
        rule(
            "self.action in ['Freeze', 'Block'] == (self.targetRef.apiVersion == 'v1' "
            "&& self.targetRef.kind == 'Namespace')",
            "Freeze and Block act on the v1 Namespace, and nothing else does",
            ".targetRef.kind",
        ),
    )

    target_ref: TargetRef
    """The object that is held."""
    action: HoldAction
    """What is done to it: ScaleDown to a workload, Freeze or Block to the Hold's namespace."""
    claims: Annotated[
        tuple[Claim, ...],
        Field(
            max_length=32,
            json_schema_extra=list_by("uid"),
        ),
        AfterValidator(once_each_by("uid")),
    ] = ()
    """Every budget that wants it held; released when the last one lets go."""
    original: Annotated[
        tuple[Original, ...] | None,
        Field(
            max_length=8,
            json_schema_extra=list_by("path"),
        ),
        AfterValidator(once_each_by("path")),
    ] = None
    """What to put back; absent until the act. With Freeze: what the namespace may use while it lasts."""

    @model_validator(mode="after")
    def _action_fits_target(self) -> Self:
        target = self.target_ref
        on_namespace = (target.api_version, target.kind) == ("v1", "Namespace")
        if (self.action in ("Freeze", "Block")) != on_namespace:
            raise ValueError(
                "targetRef.kind: Freeze and Block act on the v1 Namespace, and nothing else does"
            )
        return self


class HoldStatus(Observed):
    """How the act went. Written by the operator."""

    observed_generation: Generation = -1
    """The generation of the spec that this status speaks of."""
    conditions: Conditions = ()
    """Applied and Effective; Contested, Ineffective and Releasing only while they are true."""
    enforced_time: Instant | None = None
    """When the act was written to the target."""
    accelerator_pods: Count | None = None
    """How many accelerator pods the target had at the act."""
    accelerators: Count | None = None
    """How many accelerators these held."""
    avoided_cost_per_hour: AmountText | None = None
    """What the target spent per hour before it was held."""


class Hold(Resource):
    """One act of the operator on one workload or namespace. Delete it to undo the act for this period."""

    kind: Literal["Hold"]
    spec: HoldSpec
    status: HoldStatus = HoldStatus()

"""Every state of a sweep has one next write."""

from dataclasses import replace

import pytest

from backstay.domain.sweep import Action, Carrier, Content, DeletionPolicy, Step, plan_sweep

RETAIN, DELETE = DeletionPolicy.RETAIN, DeletionPolicy.DELETE
SNAPSHOT = Carrier("snap", "S", "11")
GOING = replace(SNAPSHOT, deleting=True)
CONTENT = Content("content", "C", "22", "driver", "disk-1", RETAIN, None, "S")
TWIN = replace(CONTENT, name="twin", uid="T", ref_uid="other")


def content(intent: str | None, policy: DeletionPolicy = RETAIN) -> Content:
    return replace(CONTENT, sweep_intent=intent, deletion_policy=policy)


# snapshot, content, others, the step
TABLE: list[tuple[Carrier | None, Content | None, list[Content], Step]] = [
    (SNAPSHOT, content(None), [], Step.WRITE_INTENT),
    (SNAPSHOT, content(None, DELETE), [], Step.WRITE_INTENT),
    (SNAPSHOT, content("S"), [], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, content("S"), [TWIN], Step.DELETE_SNAPSHOT),
    (SNAPSHOT, content("S", DELETE), [], Step.WRITE_INTENT),
    (SNAPSHOT, content("X"), [], Step.WRITE_INTENT),
    (SNAPSHOT, replace(content("S", DELETE), deleting=True), [], Step.DELETE_SNAPSHOT),
    (GOING, replace(content("S", DELETE), deleting=True), [], Step.NOTHING),
    (SNAPSHOT, replace(content("X", DELETE), deleting=True), [], Step.WRITE_INTENT),
    (SNAPSHOT, replace(content("S"), ref_uid="X"), [], Step.FROZEN),
    (SNAPSHOT, replace(content(None), ref_uid=None), [], Step.FROZEN),
    (SNAPSHOT, None, [], Step.DELETE_SNAPSHOT),
    (GOING, content(None), [], Step.WRITE_INTENT),
    (GOING, content("S"), [], Step.NOTHING),
    (GOING, None, [], Step.NOTHING),
    (None, content(None), [], Step.FROZEN),
    (None, content(None, DELETE), [], Step.FROZEN),
    (None, content("X"), [], Step.FROZEN),
    (None, replace(content("S"), ref_uid=None), [], Step.FROZEN),
    (None, content("S"), [], Step.SET_DELETE),
    (None, content("S", DELETE), [], Step.DELETE_CONTENT),
    (None, content("S"), [TWIN], Step.DELETE_CONTENT),
    (None, content("S", DELETE), [TWIN], Step.WRITE_INTENT),
    (None, None, [], Step.NOTHING),
    (None, None, [TWIN], Step.NOTHING),
]


@pytest.mark.parametrize(("snapshot", "its_content", "others", "step"), TABLE)
def test_each_state_has_one_next_write(
    snapshot: Carrier | None,
    its_content: Content | None,
    others: list[Content],
    step: Step,
) -> None:
    assert plan_sweep(snapshot, its_content, others).step is step


def test_a_write_names_its_object_and_what_it_must_still_look_like() -> None:
    assert plan_sweep(SNAPSHOT, CONTENT, []) == Action(
        Step.WRITE_INTENT, "due", "content", "C", "22", intent="S"
    )
    assert plan_sweep(SNAPSHOT, content("S"), []) == Action(
        Step.DELETE_SNAPSHOT, "due", "snap", "S", "11"
    )


def test_the_disk_of_a_shared_handle_is_kept() -> None:
    found = plan_sweep(None, content("S"), [TWIN])
    assert found.keeps_disk
    assert "twin" in found.why
    assert not plan_sweep(None, content("S", DELETE), []).keeps_disk


@pytest.mark.parametrize(
    "other",
    [
        replace(TWIN, driver="another"),
        replace(TWIN, handle="disk-2"),
        replace(TWIN, uid="C"),
    ],
)
def test_only_another_content_of_the_same_driver_and_handle_shares_a_disk(other: Content) -> None:
    assert plan_sweep(None, content("S"), [other]).step is Step.SET_DELETE


def test_contents_without_a_handle_share_nothing() -> None:
    one = replace(content("S"), handle=None)
    assert plan_sweep(None, one, [replace(TWIN, handle=None)]).step is Step.SET_DELETE

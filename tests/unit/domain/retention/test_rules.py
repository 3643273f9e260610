"""The rules of retention as a list: its table, what each rule decides alone, which comes first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.domain.retention.series import NOW, VIENNA, point, without

import backstay
from backstay.domain import labels
from backstay.domain.retention import rules
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point, Rules, Verdict
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.rules import RULES, Rule
from backstay.domain.retention.series import Series

DAY = timedelta(days=1)
NEWER = point("newer", NOW)
"""A good point, so that nothing else is the newest one."""
MARK = {"delete_after": "2026-11-01", "marked_at": "2026-11-01T12:00:00+01:00"}
DATE = {"delete_after": "2026-11-01"}
NOTHING = Rules(zone=VIENNA)
EVERYTHING = Rules.keep_everything(VIENNA)


def old(name: str = "old", **extra: str) -> Point:
    """A good point of 30 days ago."""
    return point(name, NOW - 30 * DAY, **extra)


def unready(**extra: str) -> Point:
    return replace(old(**extra), ready=False)


def deleted(**extra: str) -> Point:
    return replace(old(**extra), deleting=True)


@dataclass(frozen=True)
class Example:
    """A point that one rule decides, and what is said of it last."""

    point: Point
    says: str
    policy: Rules | None = NOTHING
    others: Sequence[Point] = field(default_factory=lambda: (NEWER,))

    @property
    def series(self) -> Series:
        return Series([self.point, *self.others], self.policy, NOW)

    @property
    def verdict(self) -> Verdict:
        return judge([self.point, *self.others], self.policy, NOW)[0]


EXAMPLES = {
    "pending": Example(old(result="pending"), Reason.PENDING),
    "being_deleted": Example(deleted(), Reason.DELETING),
    "mark_without_rules": Example(old(**MARK), Reason.MARK_WITHOUT_RULES, None),
    "no_result": Example(without(old(), labels.RESULT), Reason.NO_RESULT),
    "saved": Example(old(marked_at=MARK["marked_at"]), Reason.SAVED),
    "held": Example(old(hold="true"), Reason.HELD),
    "guarded": Example(old(), Reason.NEWEST_GOOD, others=()),
    "malformed": Example(old(delete_after="soon"), Reason.MALFORMED_DATE.format(value="soon")),
    "dated": Example(old(**DATE), "swept: past its date 2026-11-01"),
    "frozen": Example(old(), Reason.POLICY_GONE, None),
    "tier_or_recent": Example(old(), "one of the last 2", Rules(zone=VIENNA, last=2)),
    "keeps_all": Example(old(result="failed"), Reason.KEEPS_ALL, EVERYTHING),
    "newest_failed": Example(
        old(result="failed"), Reason.NEWEST_FAILED, Rules(zone=VIENNA, failed=1)
    ),
    "no_retain_word": Example(old(retain="?"), Reason.NO_RETAIN_WORD),
    "marked": Example(old(**MARK), "swept: past its date 2026-11-01"),
    "in_use": Example(old(in_use="uid"), "in use by uid"),
    "days_without_date": Example(old(retain="days"), Reason.DAYS_WITHOUT_DATE),
    "not_ready": Example(unready(), Reason.NOT_READY),
    "unkept": Example(old(), "marked 2026-11-22: kept by no rule"),
}


def names() -> list[str]:
    return [rule.__name__ for rule in RULES]


def deciding(example: Example, among: Sequence[Rule] = RULES) -> str:
    """The name of the first rule that answers."""
    series = example.series
    return next(r.__name__ for r in among if r(example.point, series) is not None)


def test_the_table_of_the_docstring_has_the_rules_in_their_order() -> None:
    rows = re.findall(r"^\| (\w+) \|", rules.__doc__ or "", re.MULTILINE)
    assert rows == ["rule", *names()]


def test_every_rule_has_an_example_in_the_order_of_the_list() -> None:
    assert list(EXAMPLES) == names()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_decides_its_example_and_without_it_another_one_would(name: str) -> None:
    example = EXAMPLES[name]

    assert deciding(example) == name
    assert example.verdict.reasons[-1] == example.says
    others = [rule for rule in RULES if rule.__name__ != name]
    if name == names()[-1]:
        assert all(rule(example.point, example.series) is None for rule in others)
    else:
        assert deciding(example, others) != name


FIRST = [
    ("pending", "being_deleted", replace(deleted(), labels={labels.RESULT: "pending"}), NOTHING),
    ("being_deleted", "mark_without_rules", deleted(**MARK), None),
    ("being_deleted", "saved", deleted(marked_at=MARK["marked_at"]), NOTHING),
    ("being_deleted", "held", deleted(hold="true"), NOTHING),
    ("being_deleted", "dated", deleted(**DATE), NOTHING),
    ("being_deleted", "unkept", deleted(), NOTHING),
    ("mark_without_rules", "held", old(hold="true", **MARK), None),
    ("no_result", "saved", without(old(marked_at=MARK["marked_at"]), labels.RESULT), NOTHING),
    ("no_result", "held", without(old(hold="true", **MARK), labels.RESULT), NOTHING),
    ("no_result", "unkept", without(old(), labels.RESULT), NOTHING),
    ("saved", "held", old(hold="true", marked_at=MARK["marked_at"]), NOTHING),
    ("held", "guarded", replace(old(hold="true"), taken=NOW + DAY), NOTHING),
    ("held", "malformed", old(hold="true", delete_after="soon"), NOTHING),
    ("held", "dated", old(hold="true", **DATE), NOTHING),
    ("held", "marked", old(hold="true", **MARK), NOTHING),
    ("held", "unkept", old(hold="true"), NOTHING),
    ("malformed", "dated", old(delete_after="soon"), NOTHING),
    ("malformed", "tier_or_recent", old(delete_after="soon"), Rules(zone=VIENNA, last=2)),
    ("dated", "frozen", old(**DATE), None),
    ("dated", "tier_or_recent", old(delete_after="2027-01-01"), Rules(zone=VIENNA, last=2)),
    ("dated", "keeps_all", old(**DATE), EVERYTHING),
    ("dated", "no_retain_word", old(retain="?", **DATE), NOTHING),
    ("dated", "in_use", old(in_use="uid", **DATE), NOTHING),
    ("frozen", "unkept", old(), None),
    ("tier_or_recent", "marked", old(**MARK), Rules(zone=VIENNA, last=2)),
    ("tier_or_recent", "in_use", old(in_use="uid"), Rules(zone=VIENNA, last=2)),
    ("tier_or_recent", "keeps_all", old(), EVERYTHING),
    ("keeps_all", "newest_failed", old(result="failed"), replace(EVERYTHING, failed=1)),
    ("keeps_all", "marked", old(result="failed", **MARK), EVERYTHING),
    ("newest_failed", "marked", old(result="failed", **MARK), Rules(zone=VIENNA, failed=1)),
    ("no_retain_word", "marked", old(retain="?", **MARK), NOTHING),
    ("marked", "in_use", old(in_use="uid", **MARK), NOTHING),
    ("marked", "days_without_date", old(retain="days", **MARK), NOTHING),
    ("marked", "not_ready", unready(**MARK), NOTHING),
    ("in_use", "days_without_date", old(in_use="uid", retain="days"), NOTHING),
    ("in_use", "unkept", old(in_use="uid"), NOTHING),
    ("days_without_date", "not_ready", unready(retain="days"), NOTHING),
    ("not_ready", "unkept", unready(), NOTHING),
]


@pytest.mark.parametrize(("first", "second", "both", "policy"), FIRST)
def test_of_two_rules_that_answer_the_first_of_the_list_decides(
    first: str, second: str, both: Point, policy: Rules | None
) -> None:
    example = Example(both, "", policy)
    by_name = {rule.__name__: rule for rule in RULES}
    answers = [by_name[name](both, example.series) for name in (first, second)]

    assert None not in answers
    assert answers[0] != answers[1]
    assert deciding(example) == first


@pytest.mark.parametrize("second", ["malformed", "dated", "frozen", "tier_or_recent", "marked"])
def test_no_date_mark_or_lack_of_rules_takes_what_is_guarded(second: str) -> None:
    policy = None if second == "frozen" else Rules(zone=VIENNA, last=1)
    both = replace(EXAMPLES[second].point, name="the-only-one")
    example = Example(both, "", policy, others=())
    by_name = {rule.__name__: rule for rule in RULES}

    assert by_name[second](both, example.series) is not None
    assert deciding(example) == "guarded"
    assert not example.verdict.sweep


def test_no_reason_is_without_use() -> None:
    source = Path(backstay.__file__).parent / "domain"
    # What Jobs of a repository answer is called a Reason as well.
    other = source / "stores" / "repository"
    paths = (path for path in source.rglob("*.py") if other not in path.parents)
    text = "\n".join(path.read_text() for path in paths)
    assert set(re.findall(r"\bReason\.([A-Z_]+)", text)) == set(Reason.__members__)

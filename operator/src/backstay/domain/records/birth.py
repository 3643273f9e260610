"""The labels that a point of a run is born with, where it has those of a policy's retention."""

from backstay.api.backup import BackupSpec, Trigger
from backstay.api.plan import RunPlan
from backstay.domain import labels


def born_with(spec: BackupSpec, backup: str, plan: RunPlan, key: tuple[str, str]) -> dict[str, str]:
    """Given a run, the name of its Backup, its plan and one of the points there (source and store),
    return the labels of that point: what it is of, and how it is kept. Tiers and a result are not
    among them.
    """
    adhoc = spec.trigger is Trigger.AD_HOC
    carried = {
        labels.POLICY: spec.policy,
        labels.BACKUP: backup,
        labels.TYPE: (labels.RunType.ADHOC if adhoc else labels.RunType.CRONJOB).value,
        labels.RETAIN: labels.Retain.DAILY_WEEKLY_MONTHLY.value,
    }
    days = next((p.keep_days for p in plan.points if p.key == key), None)
    if days is not None:
        carried[labels.RETAIN] = labels.Retain.DAYS.value
        carried[labels.RETAIN_DAYS] = str(days)
    return carried

"""Which of a database's pods is its primary: by the labels that database operators set.

The keys are those of CloudNativePG, Spilo (Zalando), Crunchy, KubeDB, KubeBlocks, MariaDB operator,
MySQL operator (Oracle), Redis operator (Spotahome) and Patroni, whose plain `role` comes last.
"""

from __future__ import annotations

from typing import Final

from backstay.api.target import Preference
from backstay.domain import objects
from backstay.domain.objects import Obj

ROLE_LABELS: Final = (
    "cnpg.io/instanceRole",
    "spilo-role",
    "postgres-operator.crunchydata.com/role",
    "kubedb.com/role",
    "kubeblocks.io/role",
    "k8s.mariadb.com/role",
    "mysql.oracle.com/cluster-role",
    "redisfailovers-role",
    "role",
)

_VALUES: Final = {
    **dict.fromkeys(("primary", "master", "leader"), Preference.PRIMARY),
    **dict.fromkeys(
        ("standby", "replica", "secondary", "slave", "sync_standby", "quorum_standby"),
        Preference.STANDBY,
    ),
}


def role_of(pod: Obj) -> Preference | None:
    """Given a pod, return what its labels say of its role, None if they say nothing."""
    labels = objects.labels(pod)
    for key in ROLE_LABELS:
        if found := _VALUES.get(labels.get(key, "").lower()):
            return found
    return None

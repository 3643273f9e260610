"""What a user of MySQL 8 may see: a stand-in answers as MySQL's manual has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults.dumps.harness import Container

from backstay.api.dumps import Mysql
from backstay.dumps import ENGINES
from backstay.dumps.base import State

MYSQL8 = """#!/bin/sh
case $* in
    *@@version*) printf '8.4.3\\t0\\tlow@%%\\n' ;;
    *CURRENT_ROLE*) echo "$ROLES" ;;
    *USING*) printf '%s\\n' "$GRANTS_USING" ;;
    *GRANTS*) printf '%s\\n' "$GRANTS" ;;
    *@@sql_select_limit*) echo 18446744073709551615 ;;
esac
"""
ALL_RIGHTS = "GRANT SELECT, EVENT, TRIGGER, SHOW VIEW ON"
REVOKED = "REVOKE SELECT ON `shop`.* FROM `low`@`%`"


@pytest.mark.parametrize(
    ("grants", "using", "words"),
    [
        (f"{ALL_RIGHTS} *.* TO `low`@`%`", "", None),
        ("GRANT USAGE ON *.* TO `low`@`%`", f"{ALL_RIGHTS} *.* TO `low`@`%`", None),
        (
            f"{ALL_RIGHTS} *.* TO `low`@`%`\n{REVOKED}",
            "",
            "GRANT SELECT ON `shop`.* TO 'low'@'%';",
        ),
        (
            f"{ALL_RIGHTS} `shop`.* TO `low`@`%`",
            "",
            "GRANT SHOW_ROUTINE ON *.* TO 'low'@'%';",
        ),
        (
            f"{ALL_RIGHTS} `shop`.* TO `low`@`%`\nGRANT SHOW_ROUTINE ON *.* TO `low`@`%`",
            "",
            None,
        ),
    ],
)
def test_rights_of_mysql_8_are_read_as_its_manual_has_them(
    dash: Container, grants: str, using: str, words: str | None
) -> None:
    folder = dash.folder / "bin"
    folder.mkdir()
    for name, text in (("mysql", MYSQL8), ("mysqldump", "#!/bin/sh\necho '-- Dump completed'\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for name in ("mariadb", "mariadb-dump"):
        (folder / name).symlink_to(folder / name.replace("mariadb", "mysql").replace("-", ""))
    environment = {"GRANTS": grants, "GRANTS_USING": using, "ROLES": "`r`@`%`" if using else "NONE"}
    pod = replace(dash, programs=str(folder), environment=environment)
    state = pod.run(ENGINES["mysql"].start(pod.task(), Mysql(databases=("shop",), user="low")))
    assert state.state == (State.FAILED if words else State.DONE), state
    assert (state.message or "").endswith(words or ""), state

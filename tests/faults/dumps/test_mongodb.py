"""MongoDB dumps by the real mongodump against FerretDB (tests/support/mongo.py: its limits).

What FerretDB does not have, users and an oplog, is shown with a stand-in for mongodump.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.faults.dumps.harness import Container
from tests.support import mongo

from backstay.api.dumps import Mongodb
from backstay.api.server import PasswordSource, SecretKeyRef
from backstay.dumps import ENGINES
from backstay.dumps.base import DumpState, DumpTask, State

MONGODB = ENGINES["mongodb"]
PASSWORD = 'it\'s "$(secret)" \\ : #\n\tü🐘'  # noqa: S105 - of nobody


@pytest.fixture(scope="module")
def server() -> Iterator[mongo.Server]:
    with mongo.running() as found:
        documents = [
            {"_id": n, "t": "a😀b 'x' $(id)", "a": [1, None, {"ü": n}], "d": 1e308}
            for n in range(500)
        ]
        found.insert("shop_1", "größe", documents)
        found.insert("other", "c", [{"_id": "x"}])
        yield found


@pytest.fixture
def pod(container: Container, *, compress: bool) -> Container:
    folder = str(mongo.tools()["mongodump"].parent)
    return replace(container, programs=folder, compress=compress)


def dump(
    container: Container, spec: Mongodb, task: DumpTask | None = None, password: str | None = None
) -> DumpState:
    return container.run(MONGODB.start(task or container.task(), spec, password))


def test_a_dump_restores_to_the_same_documents(pod: Container, server: mongo.Server) -> None:
    state = dump(pod, Mongodb(host="127.0.0.1", port=server.port))
    assert state.state == State.DONE, state
    assert (state.format, state.compressed) == ("archive", pod.compress)
    assert state.position is None
    assert state.versions is not None
    assert state.versions["server"].startswith("7.")
    with mongo.running() as copy:
        copy.restore(pod.content(state))
        assert copy.contents() == server.contents()


def test_a_dump_of_all_that_lacks_users_and_roles_says_so(
    dash: Container, server: mongo.Server, *, compress: bool
) -> None:
    """FerretDB has no database admin of its own: as if the user might not see it."""
    pod = replace(dash, programs=str(mongo.tools()["mongodump"].parent), compress=compress)
    (note,) = dump(pod, Mongodb(port=server.port)).notes
    assert note.startswith("the dump has no database admin, so users and roles are not in it")
    with mongo.running() as other:
        other.insert("admin", "one", [{"_id": 1}])
        other.insert("shop", "c", [{"_id": 1}])
        state = dump(pod, Mongodb(port=other.port), pod.task("other"))
        assert (state.state, state.notes) == (State.DONE, ()), state


def test_documents_of_nearly_the_largest_size_are_restored(pod: Container) -> None:
    large = [{"_id": n, "t": "ü'\\" * (15 * 256 * 1024)} for n in range(2)]
    with mongo.running() as source, mongo.running() as copy:
        source.insert("shop", "large", large)
        state = dump(pod, Mongodb(port=source.port))
        assert state.state == State.DONE, state
        copy.restore(pod.content(state))
        assert copy.contents() == source.contents()


def test_one_database_alone_may_be_dumped(dash: Container, server: mongo.Server) -> None:
    pod = replace(dash, programs=str(mongo.tools()["mongodump"].parent))
    state = dump(pod, Mongodb(port=server.port, database="other"))
    assert state.state == State.DONE, state
    with mongo.running() as copy:
        copy.restore(pod.content(state))
        assert list(copy.contents()) == ["other/c"]


def test_a_server_that_is_down_is_said(pod: Container) -> None:
    spec = Mongodb(host="127.0.0.1", port=1)
    state = dump(pod, spec, pod.task(seconds=2))
    assert state.state == State.FAILED
    assert not pod.file.exists()


# Writes what it was given; fails with the text of $SAYS the first time if that is set.
FAKE = """#!/bin/sh
[ "$1" != --version ] || { echo 'mongodump version: 1'; exit; }
printf '%s\\n' "$@" >"$SEEN_BY_TOOL.argv"
cat >"$SEEN_BY_TOOL.config"
env >"$SEEN_BY_TOOL.env"
case $* in *--oplog*) [ -z "$SAYS" ] || { echo "$SAYS" >&2; exit 1; } ;; esac
for word in "$@"; do case $word in --archive=*) file=${word#--archive=} ;; esac; done
printf '\\155\\342\\231\\201 and \\377\\377\\377\\377' >"$file"
case " $* " in *' --gzip '*) gzip "$file" && mv "$file.gz" "$file" ;; esac
[ -z "$LACKS" ] || truncate -s "-$LACKS" "$file"
"""


@pytest.fixture
def reported(dash: Container, tmp_path: Path) -> Container:
    (dash.folder / "bin").mkdir()
    (dash.folder / "bin/mongodump").write_text(FAKE)
    (dash.folder / "bin/mongodump").chmod(0o755)
    environment = {"SEEN_BY_TOOL": str(tmp_path / "reported"), "SAYS": "", "LACKS": ""}
    return replace(dash, programs=str(dash.folder / "bin"), environment=environment)


@pytest.mark.parametrize(
    ("compress", "words"),
    [(True, "unexpected end of file"), (False, "does not begin and end as an archive does")],
)
def test_an_archive_without_its_end_fails_the_dump(
    reported: Container, words: str, *, compress: bool
) -> None:
    pod = replace(reported, compress=compress)
    good = dump(pod, Mongodb(), pod.task("before"))
    assert good.state == State.DONE, good
    short = replace(pod, environment={**pod.environment, "LACKS": "1"})
    assert dump(short, Mongodb()).state == State.FAILED
    short.assert_failed(good, words)


@pytest.mark.parametrize("source", ["environment", "file", "variable", "Secret"])
def test_a_password_goes_to_mongodump_on_its_input_alone(
    reported: Container, source: str, *, compress: bool
) -> None:
    reported = replace(reported, compress=compress)
    environment = dict(reported.environment)
    spec, password = Mongodb(user="ü $(id)"), None
    match source:
        case "environment":
            environment |= {"MONGO_INITDB_ROOT_PASSWORD": PASSWORD}
            environment |= {"MONGO_INITDB_ROOT_USERNAME": "ü $(id)"}
            spec = Mongodb()
        case "file":
            (reported.folder / "secret").write_text(PASSWORD + "\n")
            file = PasswordSource(file=str(reported.folder / "secret"))
            spec = spec.model_copy(update={"password": file})
        case "variable":
            environment |= {"MINE": PASSWORD}
            spec = spec.model_copy(update={"password": PasswordSource(env="MINE")})
        case _:
            ref = SecretKeyRef(name="mongo", key="password")
            spec = spec.model_copy(update={"password": PasswordSource(secret_key_ref=ref)})
            password = PASSWORD
    state = dump(replace(reported, environment=environment), spec, password=password)
    assert state.state == State.DONE, state
    there = Path(reported.environment["SEEN_BY_TOOL"])
    config = yaml.safe_load(there.with_suffix(".config").read_text())
    assert config == {"password": PASSWORD}
    argv = there.with_suffix(".argv").read_text()
    assert "--username=ü $(id)\n" in argv
    assert "secret" not in argv
    if source in ("file", "Secret"):
        assert PASSWORD not in there.with_suffix(".env").read_text()


@pytest.mark.parametrize(
    ("says", "position", "state"),
    [
        ("", "oplog included: restore with --oplogReplay", State.DONE),
        (
            "Failed: error getting oplog start: error getting recent oplog entry: mongo: no "
            "documents in result",
            None,
            State.DONE,
        ),
        ("Failed: can't use --oplog option when dumping from a mongos", None, State.DONE),
        ("Failed: error getting oplog start: not authorized on local", None, State.FAILED),
    ],
)
def test_the_oplog_is_left_out_only_where_there_is_none(
    reported: Container, says: str, position: str | None, state: State
) -> None:
    found = dump(replace(reported, environment={**reported.environment, "SAYS": says}), Mongodb())
    assert (found.state, found.position) == (state, position), found

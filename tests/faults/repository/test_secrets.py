"""What a Secret says is in the environment of restic, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.faults.repository.between import Between, refusal
from tests.faults.repository.harness import PASSWORD, Depot, finished
from tests.faults.repository.storing import backup, stored, task


def everybody(file: str) -> Iterator[tuple[int, bytes]]:
    """Yield what /proc has of every process, by its id."""
    for path in Path("/proc").glob(f"[0-9]*/{file}"):
        try:
            yield int(path.parts[2]), path.read_bytes()
        except OSError:
            continue  # it has ended meanwhile


def test_no_process_has_a_secret_in_its_arguments_and_restic_alone_in_its_environment(
    watched_by: Depot, between: Between
) -> None:
    secrets = [value.encode() for value in watched_by.secrets()]
    key = watched_by.secret.joinpath("AWS_SECRET_ACCESS_KEY").read_bytes()
    assert {key, PASSWORD.encode()} == set(secrets)
    process = watched_by.start("repository-backup", watched_by.task(**task(watched_by)))
    arguments: dict[int, bytes] = {}
    environments: dict[int, bytes] = {}

    def look() -> None:
        arguments.update(everybody("cmdline"))
        environments.update(everybody("environ"))

    between.at("PUT .*/(data|locks|snapshots)/", look)
    assert finished(process).reason == "Stored"

    assert process.pid in arguments
    for secret in secrets:
        assert [pid for pid, found in arguments.items() if secret in found] == []
    # The password is the same in other tests that run now; the key is not.
    knowing = {pid for pid, found in environments.items() if key in found}
    assert len(knowing) >= 2  # the data's, the record's
    for pid in knowing:
        assert arguments[pid].startswith(b"restic\0--json")


def test_what_a_server_or_restic_repeats_of_a_secret_is_not_passed_on(
    watched_by: Depot, between: Between
) -> None:
    (secret,) = (found for found in watched_by.secrets() if "-" not in found)
    said = f"the key {secret} is not allowed: Access Denied."
    between.at("PUT .*/data/", lambda: refusal(403, "AccessDenied", said))

    outcome = backup(watched_by)

    assert outcome.reason == "AccessDenied"
    assert "[AWS_SECRET_ACCESS_KEY]" in outcome.everything
    assert secret not in outcome.everything


def test_keys_that_restic_does_not_take_are_named_and_not_passed(made: Depot) -> None:
    trap = made.folder / "trap"
    made.give(
        RESTIC_PASSWORD_COMMAND=f"touch {trap}",
        RCLONE_PASSWORD_COMMAND=f"touch {trap}",
        PATH="/nowhere",
        note="for people",
    )

    opened = made.agent("repository-open", initialise=False)

    assert opened.result["ignored"] == [
        "PATH", "RCLONE_PASSWORD_COMMAND", "RESTIC_PASSWORD_COMMAND", "note",
    ]  # fmt: skip
    stored(made)
    assert not trap.exists()


def test_a_key_of_google_is_a_file_for_restic_and_no_word_in_an_answer(made: Depot) -> None:
    made.give(GOOGLE_APPLICATION_CREDENTIALS='{"private_key": "-----BEGIN-0123456789-----"}')

    opened = made.agent("repository-open", initialise=False)

    assert opened.reason == "Opened"
    assert "0123456789" not in opened.everything

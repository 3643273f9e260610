"""The exec protocol, without a socket."""

from __future__ import annotations

import json

import pytest

from backstay.domain.errors import BackstayError, DataError, NotFound, Transient, UserError
from backstay.kube.exec_frames import CHUNK, ExecAccumulator, ExecResult, Tail, stdin_messages

SUCCESS = {"metadata": {}, "status": "Success"}


def failure(reason: str, message: str, *causes: tuple[str, str]) -> dict[str, object]:
    return {
        "status": "Failure",
        "reason": reason,
        "message": message,
        "details": {"causes": [{"reason": why, "message": text} for why, text in causes]},
    }


def status_message(state: object) -> bytes:
    return b"\x03" + json.dumps(state).encode()


def play(*messages: bytes, limit: int = 1024) -> ExecAccumulator:
    accumulator = ExecAccumulator(limit)
    for message in messages:
        accumulator.feed(message)
    return accumulator


def test_output_of_both_streams_and_success() -> None:
    done = play(
        b"\x01", b"\x02", b"\x03",  # the server announces its channels with empty messages
        b"\x01one ", b"\x02warn", b"\x01two", b"\xff\x01", status_message(SUCCESS),
    )  # fmt: skip
    assert done.finished
    assert done.result("exec") == ExecResult(0, b"one two", b"warn")


def test_bytes_are_kept_as_they_are() -> None:
    blob = bytes(range(256))
    assert play(b"\x01" + blob, status_message(SUCCESS)).result("exec").stdout == blob


@pytest.mark.parametrize("code", [1, 2, 127, 137])
def test_the_exit_code_is_in_the_causes(code: int) -> None:
    state = failure("NonZeroExitCode", "command terminated", ("ExitCode", str(code)))
    assert play(status_message(state)).result("exec").exit_code == code


def test_a_status_may_come_in_pieces() -> None:
    whole = status_message(SUCCESS)
    accumulator = play(whole[:10])
    assert not accumulator.finished
    accumulator.feed(b"\x03" + whole[10:])
    assert accumulator.finished


@pytest.mark.parametrize("messages", [(), (b"\x01all of it",), (b"\x03", b'\x03{"status": "Suc')])
def test_a_connection_that_ends_without_a_status_proves_nothing(messages: tuple[bytes]) -> None:
    with pytest.raises(Transient, match="connection lost; the command may still run"):
        play(*messages).result("exec")


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        (failure("InternalError", 'container not found ("pg")'), NotFound),
        (failure("InternalError", 'exec: "pg_dumb": executable file not found'), UserError),
        (failure("InternalError", "exec /x: no such file or directory"), UserError),
        (failure("InternalError", "error dialing backend: timeout"), Transient),
        (failure("NonZeroExitCode", "no code in it"), Transient),
        (failure("NonZeroExitCode", "strange", ("ExitCode", "many")), Transient),
        ({}, Transient),
    ],
)
def test_a_command_that_was_not_started_is_no_exit_code(
    state: dict[str, object], meaning: type[BackstayError]
) -> None:
    with pytest.raises(meaning) as caught:
        play(status_message(state)).result("exec in Pod a/b")
    assert type(caught.value) is meaning
    assert caught.value.message.startswith("exec in Pod a/b: ")


@pytest.mark.parametrize("message", [b"", b"\x00stdin", b"\x04{}", b"\x07x"])
def test_messages_that_a_server_never_sends_are_refused(message: bytes) -> None:
    with pytest.raises(DataError):
        play(message)


def test_a_status_without_an_end_does_not_fill_the_memory() -> None:
    with pytest.raises(DataError, match="does not end"):
        play(*(b"\x03" + b"x" * 1024 for _ in range(100)))


def test_the_last_bytes_of_long_output_are_kept() -> None:
    messages = [b"\x01" + bytes([65 + number]) * 7 for number in range(10)]
    result = play(*messages, status_message(SUCCESS), limit=10).result("exec")
    assert result.stdout == b"IIIJJJJJJJ"
    assert result.truncated


def test_output_of_exactly_the_limit_is_whole() -> None:
    result = play(b"\x01" + b"x" * 10, status_message(SUCCESS), limit=10).result("exec")
    assert result == ExecResult(0, b"x" * 10, b"", truncated=False)


@pytest.mark.parametrize("piece", [1, 3, 100, 1000])
def test_a_tail_is_the_end_of_the_stream_however_it_arrives(piece: int) -> None:
    stream = bytes(number % 251 for number in range(1000))
    tail = Tail(64)
    for start in range(0, len(stream), piece):
        tail.add(stream[start : start + piece])
    assert tail.value() == stream[-64:]
    assert tail.truncated


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_stdin_is_sent_in_chunks_and_then_closed(size: int) -> None:
    data = bytes(number % 256 for number in range(size))
    *parts, last = stdin_messages(data)
    assert last == b"\xff\x00"
    assert all(part[0] == 0 and 1 < len(part) <= CHUNK + 1 for part in parts)
    assert b"".join(part[1:] for part in parts) == data

"""Bad input about dumps and hooks."""

from __future__ import annotations

from typing import Any, Final

from tests.api.bad.common import (
    CLAIMS,
    CLAIMS_NEED,
    DUMP,
    DURATION,
    GONE,
    OBJECT,
    STRICT,
    Row,
    policy,
)

ABSOLUTE: Final = "must be the absolute path of a file"
DATABASE: Final = "must be the name of a database, without control characters"
DUMPS: Final = "spec.dumps[0]"
BEFORE: Final = "spec.hooks.before"
AFTER: Final = "spec.hooks.after"
DUMP_HOOK: Final = {"target": DUMP["target"], "command": ["echo"]}

AS_THEIR_TOOLS_WRITE: Final[tuple[dict[str, Any], ...]] = (
    {"spec.dumps.0.redis": {}},
    {"spec.dumps.0.sqlite": {"database": "/app.db"}},
    {"spec.dumps.0.command": {"argv": ["x"], "output": "file"}},
)

BAD: Final = [
    policy("spec.dumps", [DUMP, DUMP], "spec.dumps[1]", "Duplicate value"),
    policy(
        "spec.dumps",
        [DUMP, {**DUMP, "name": "again"}],
        "spec",
        "two dumps of one target write the same file: give each its own",
    ),
    policy("spec.dumps.0.name", "Shop_1", f"{DUMPS}.name", "must be lower case letters, digits"),
    policy("spec.dumps.0.name", "a" * 64, f"{DUMPS}.name", "more than 63 bytes"),
    policy("spec.dumps.0.file", "shop.dump", f"{DUMPS}.file", ABSOLUTE),
    policy("spec.dumps.0.file", "/data/../etc/shop", f"{DUMPS}.file", "without '..'"),
    policy("spec.dumps.0.file", "/data//shop.dump", f"{DUMPS}.file", ABSOLUTE),
    policy("spec.dumps.0.file", "/data/backstay/", f"{DUMPS}.file", "and a '/' at the end"),
    policy("spec.dumps.0.file", "/data/shop\n.dump", f"{DUMPS}.file", "control characters"),
    policy("spec.dumps.0.file", "/data/shop.json", DUMPS, "must not end in .json"),
    policy("spec.dumps.0.file", "/data/shop.failed", DUMPS, "kept beside a dump"),
    policy(
        "spec.dumps.0.postgres.databases",
        ["shop\n"],
        f"{DUMPS}.postgres.databases[0]",
        DATABASE,
    ),
    policy("spec.dumps.0.target.kind", "Job", f"{DUMPS}.target.kind", 'supported values: "Deploy'),
    policy("spec.dumps.0.target.name", "Pg", f"{DUMPS}.target.name", OBJECT),
    policy("spec.dumps.0.target", GONE, f"{DUMPS}.target", "Required value"),
    policy("spec.dumps.0.postgres", GONE, DUMPS, "a dump needs exactly one of postgres, mysql"),
    policy("spec.dumps.0.maxDuration", "0h0m", f"{DUMPS}.maxDuration", DURATION),
    policy("spec.dumps.0.target.prefer", "Any", f"{DUMPS}.target.prefer", 'values: "Primary"'),
    Row(
        "BackupPolicy",
        {"spec.dumps": GONE, "spec.source.claims": {"ofDumps": True}},
        "spec",
        "there are none: add dumps, or name the claims",
    ),
    policy("spec.source.claims", {"ofDumps": False}, CLAIMS, CLAIMS_NEED),
    policy("spec.hooks", {}, "spec.hooks", "hooks needs before, after, or both"),
    policy("spec.hooks.maxFreeze", "1 minute", "spec.hooks.maxFreeze", DURATION),
    policy("spec.hooks.before.0.command", GONE, f"{BEFORE}[0]", "set exactly one of them"),
    policy("spec.hooks.before.1.command", ["x"], f"{BEFORE}[1]", "set exactly one of them"),
    policy("spec.hooks.before.0.command", [], f"{BEFORE}[0].command", "at least 1 items"),
    policy("spec.hooks.before.0.command", "echo", f"{BEFORE}[0].command", "of type array"),
    policy("spec.hooks.before.0.timeout", "0s", f"{BEFORE}[0].timeout", DURATION),
    policy("spec.hooks.before.0.onError", "Ignore", f"{BEFORE}[0].onError", 'values: "Fail"'),
    policy("spec.hooks.before.0.target", GONE, f"{BEFORE}[0].target", "Required value"),
    policy("spec.hooks.before.1.name", "quiet", f"{BEFORE}[1]", "Duplicate value"),
    policy("spec.hooks.before.0.name", "Quiet", f"{BEFORE}[0].name", "must be lower case letters"),
    policy("spec.hooks.before.1.session.ready", "", f"{BEFORE}[1].session.ready", "at least 1"),
    policy("spec.hooks.after.0.target", DUMP["target"], "spec.hooks", "but none when it has the"),
    policy("spec.hooks.after.1.target", GONE, "spec.hooks", "an after hook needs a target"),
    policy("spec.hooks.after.1.command", GONE, f"{AFTER}[1].command", "Required value"),
    policy("spec.hooks.before.0.freezes", "yes", f"{BEFORE}[0].freezes", "of type boolean"),
    Row(
        "BackupPolicy",
        {"spec.hooks.before.0.freezes": True, "spec.hooks.before.0.onError": "Continue"},
        f"{BEFORE}[0]",
        "a hook with freezes must have onError Fail",
    ),
    Row(
        "BackupPolicy",
        {"spec.hooks.before.0.freezes": True, "spec.hooks.before.0.name": "alone"}
        | {"spec.hooks.after.0": {**DUMP_HOOK, "name": "other"}},
        "spec.hooks",
        "a hook with freezes has to hold over the snapshots",
    ),
    policy("spec.snapshot.consistency", "PerNode", "spec.snapshot.consistency", '"PerPod"'),
    Row(
        "BackupPolicy",
        {"spec.hooks.after.1.name": "session", "spec.hooks.after.1.target": GONE},
        "spec.hooks",
        "a session is ended by its own end",
    ),
    policy("spec.hooks.around", [], STRICT, 'unknown field "spec.hooks.around"'),
    policy("spec.dumps.0.mysql", {}, DUMPS, "a dump needs exactly one of postgres, mysql"),
    policy("spec.dumps.0.minFree", -1, f"{DUMPS}.minFree", "must be a size such as 0, 64Mi"),
    policy("spec.dumps.0.minFree", "64 MB", f"{DUMPS}.minFree", "must be a size such as 0, 64Mi"),
    policy(
        "spec.dumps.0.postgres",
        {"databases": ["a", "b"], "format": "custom"},
        f"{DUMPS}.postgres",
        "format custom holds one database",
    ),
    policy(
        "spec.dumps.0.postgres",
        {"databases": ["a"], "format": "custom", "globals": "include"},
        f"{DUMPS}.postgres",
        "format custom cannot hold roles",
    ),
    policy(
        "spec.dumps.0.postgres",
        {"databases": ["a"], "globals": "only"},
        f"{DUMPS}.postgres",
        "globals only holds no database",
    ),
    policy(
        "spec.dumps.0.postgres.password",
        {"env": "A", "file": "/a"},
        f"{DUMPS}.postgres.password",
        "password needs exactly one of env, file and secretKeyRef",
    ),
    policy(
        "spec.dumps.0.postgres.password",
        {"env": "9$(id)"},
        f"{DUMPS}.postgres.password.env",
        "must be the name of an environment variable",
    ),
    policy("spec.dumps.0.compress", "zstd", f"{DUMPS}.compress", "of type boolean"),
    *(
        Row(
            "BackupPolicy",
            {"spec.dumps.0.postgres": GONE, "spec.dumps.0.compress": True, **engine},
            DUMPS,
            "compress is for postgres, mysql, mongodb, and what a command prints",
        )
        for engine in AS_THEIR_TOOLS_WRITE
    ),
]

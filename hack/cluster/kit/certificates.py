"""The cluster's certificates, made with openssl: a CA of its own and one key pair per client.

Invariant: NAME.crt appears only after NAME.key is complete, so a pair that exists is whole.
"""

from collections.abc import Sequence
from pathlib import Path

from .command import run

_DAYS = "3650"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def ensure_account_key(pki: Path) -> None:
    """Given the folder, leave sa.key in it, the key that signs service account tokens."""
    if not (pki / "sa.key").exists():
        run(
            [
                "openssl",
                "ecparam",
                "-name",
                "prime256v1",
                "-genkey",
                "-noout",
                "-out",
                pki / "sa.new",
            ]
        )
        (pki / "sa.new").rename(pki / "sa.key")


def ensure_authority(pki: Path, name: str = "backstay-test-ca") -> None:
    """Given the folder and the CA's name, leave ca.crt and ca.key in it."""
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (pki / "ca.crt").exists():
        subject = ("-subj", f"/CN={name}", "-days", _DAYS)
        run(
            [
                "openssl",
                "req",
                "-x509",
                *_CURVE,
                *subject,
                "-keyout",
                pki / "ca.key",
                "-out",
                pki / "ca.new",
            ]
        )
        (pki / "ca.new").rename(pki / "ca.crt")


def ensure_pair(pki: Path, name: str, subject: str, addresses: Sequence[str] = ()) -> None:
    """Given a name and a subject (/O=group/CN=user), leave NAME.key and NAME.crt.

    `addresses` are the IPs and DNS names that a server answers to.
    """
    if (pki / f"{name}.crt").exists():
        return
    names = ",".join(f"IP:{a}" if a[0].isdigit() else f"DNS:{a}" for a in addresses)
    extension = f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n"
    (pki / f"{name}.ext").write_text(extension)
    request = pki / f"{name}.csr"
    run(
        [
            "openssl",
            "req",
            *_CURVE,
            "-subj",
            subject,
            "-keyout",
            pki / f"{name}.key",
            "-out",
            request,
        ]
    )
    run([
        "openssl", "x509", "-req", "-in", request, "-days", _DAYS, "-extfile", pki / f"{name}.ext",
        "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-CAcreateserial",
        "-out", pki / f"{name}.new",
    ])  # fmt: skip
    (pki / f"{name}.new").rename(pki / f"{name}.crt")

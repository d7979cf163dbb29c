"""`python -m deploy.cluster_certificates DIR`: the certificates of a Dask cluster.

A certificate authority of the cluster's own, and a certificate each for the scheduler,
the machines and the coordinator. What is there already and good for another month is
left as it is, so that it can run before every start. docs/cluster.md has the rest.
"""

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.clock import utc_now
from common.exit_status import ExitCode
from common.files import durable
from common.files.system_errors import reason_of

#: Who has a certificate, and what Dask calls it in its settings.
ROLES = {"scheduler": "SCHEDULER", "machine": "WORKER", "coordinator": "CLIENT"}
AUTHORITY = "ca"
#: Days that a certificate is good for: the authority's, and the others'.
AUTHORITY_DAYS, DAYS = 3650, 800
#: A certificate is made anew when it has fewer days left.
LEFT_DAYS = 30
_PREFIX = "DASK_DISTRIBUTED__COMM__TLS__"


class NotOurs(Exception):
    """A file in the folder is none of ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure(folder: Path, authority: Path, now: datetime.datetime) -> list[str]:
    """Makes what is missing, expires soon or is another authority's.

    Returns the names of what was made. Raises OSError, NotOurs.
    """
    made = []
    ours = _read(authority, AUTHORITY)
    if ours is None or _expires(ours, now):
        ours = _signed("calibre-migration cluster", None, AUTHORITY_DAYS, now)
        _write(authority, AUTHORITY, ours)
        made.append(AUTHORITY)
    if folder != authority:
        _put(folder / f"{AUTHORITY}.pem", _pem(ours.certificate), 0o644)
    for role in ROLES:
        found = _read(folder, role)
        if found is None or _expires(found, now) or not _is_signed_by(found, ours):
            _write(folder, role, _signed(role, ours, DAYS, now))
            made.append(role)
    return made


def settings(folder: Path, *roles: str) -> dict[str, str]:
    """Returns Dask's settings for these roles, by their environment variables."""
    found = {
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        f"{_PREFIX}CA_FILE": str(folder / f"{AUTHORITY}.pem"),
    }
    for role in roles:
        found[f"{_PREFIX}{ROLES[role]}__CERT"] = str(folder / f"{role}.pem")
        found[f"{_PREFIX}{ROLES[role]}__KEY"] = str(folder / f"{role}.key")
    return found


def _signed(
    name: str, authority: Pair | None, days: int, now: datetime.datetime
) -> Pair:
    """Returns a new certificate; without an authority it is one, and signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = subject if authority is None else authority.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of machines differ.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=authority is None, path_length=None), critical=True
        )
    )
    if authority is not None:
        # Each of them is asked and asks: machines connect to one another.
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
    signer = key if authority is None else authority.key
    return Pair(builder.sign(signer, hashes.SHA256()), key)


def _expires(pair: Pair, now: datetime.datetime) -> bool:
    left = pair.certificate.not_valid_after_utc - now
    return left < datetime.timedelta(days=LEFT_DAYS)


def _is_signed_by(pair: Pair, authority: Pair) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _read(folder: Path, name: str) -> Pair | None:
    """Returns a certificate and its key; None when either is missing."""
    try:
        text, key = (
            (folder / f"{name}{ending}").read_bytes() for ending in (".pem", ".key")
        )
    except FileNotFoundError:
        return None
    try:
        found = serialization.load_pem_private_key(key, None)
        certificate = x509.load_pem_x509_certificate(text)
    except (ValueError, TypeError) as error:
        raise NotOurs(
            f"{folder / name}.pem or .key holds something else: {error}"
        ) from None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise NotOurs(f"{folder / name}.key is of another kind than ours")
    return Pair(certificate, found)


def _write(folder: Path, name: str, pair: Pair) -> None:
    key = pair.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _put(folder / f"{name}.key", key, 0o600)
    _put(folder / f"{name}.pem", _pem(pair.certificate), 0o644)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _put(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    durable.replace(path, data, mode=mode)


# -- the command -----------------------------------------------------------------------


def read_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.cluster_certificates",
        description="Makes the certificates of a Dask cluster: an authority of its own, "
        "and one certificate each for the scheduler, the machines and the coordinator. "
        "What is there and good for a month is left as it is.",
        epilog="A further machine needs ca.pem, machine.pem and machine.key, and nothing "
        "else. Whoever has one of the keys can run code on every machine of the cluster. "
        "exit status: 0 they are there; 2 wrong usage, or a file that is not ours; "
        "5 a file cannot be written",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="where they go")
    parser.add_argument(
        "--authority",
        metavar="DIR",
        type=Path,
        help="where the authority's own key is kept, which only this command needs "
        "[default: DIR; environment: none]",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    given = read_arguments(argv)
    os.umask(0o077)
    folder = given.folder.expanduser().resolve()
    authority = (given.authority or folder).expanduser().resolve()
    try:
        made = ensure(folder, authority, utc_now())
    except NotOurs as error:
        sys.stderr.write(f"{error}; move it away, or name another folder\n")
        return int(ExitCode.USAGE)
    except OSError as error:
        sys.stderr.write(f"cannot write into {folder}: {reason_of(error)}\n")
        return int(ExitCode.STATE)
    sys.stdout.write(f"{folder}: made {', '.join(made) or 'nothing, all is there'}\n")
    for role in ROLES:
        sys.stdout.write(
            f"\n# for the {role}: {AUTHORITY}.pem, {role}.pem, {role}.key\n"
        )
        for name, text in settings(folder, role).items():
            sys.stdout.write(f"{name}={text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The certificates of a cluster: what is made, when, and who can use them."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="only with requirements-cluster.txt")
from deploy.cluster_certificates import ROLES, ensure, main, settings

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ALL = ["ca", *ROLES]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_made_is_left_until_it_expires(tmp_path: Path) -> None:
    """Run before every start it changes nothing; a month before the end it renews."""
    folder = tmp_path / "new" / "tls"
    assert ensure(folder, folder, NOW) == ALL
    first = contents(folder)
    assert set(first) == {f"{name}{end}" for name in ALL for end in (".pem", ".key")}
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == (
            0o600 if path.suffix == ".key" else 0o644
        )
    assert folder.stat().st_mode & 0o077 == 0
    assert ensure(folder, folder, NOW + timedelta(days=700)) == []
    assert contents(folder) == first
    assert ensure(folder, folder, NOW + timedelta(days=780)) == list(ROLES)
    then = contents(folder)
    assert {name for name in then if then[name] == first[name]} == {"ca.pem", "ca.key"}
    assert ensure(folder, folder, NOW + timedelta(days=3640)) == ALL


def test_the_authority_can_be_kept_elsewhere(tmp_path: Path) -> None:
    """Its key is in no folder that a machine sees; another authority's certificates are
    made anew."""
    folder, authority = tmp_path / "tls", tmp_path / "authority"
    ensure(folder, authority, NOW)
    assert set(contents(authority)) == {"ca.pem", "ca.key"}
    assert "ca.key" not in contents(folder)
    assert contents(folder)["ca.pem"] == contents(authority)["ca.pem"]
    (authority / "ca.key").unlink()
    assert ensure(folder, authority, NOW) == ALL
    assert contents(folder)["ca.pem"] == contents(authority)["ca.pem"]


def handshake(ours: Path, role: str, theirs: Path, other: str) -> None:
    """Both ends as Dask has them, in memory. Raises ssl.SSLError."""
    ends = []
    for folder, name, purpose in (
        (ours, role, ssl.Purpose.SERVER_AUTH),
        (theirs, other, ssl.Purpose.CLIENT_AUTH),
    ):
        context = ssl.create_default_context(purpose, cafile=str(folder / "ca.pem"))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        ends.append(context)
    wires = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ends[0].wrap_bio(wires[0], wires[1])
    server = ends[1].wrap_bio(wires[1], wires[0], server_side=True)
    for end in (client, server) * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("other", ROLES)
def test_everyone_of_the_cluster_trusts_the_others(
    role: str, other: str, tmp_path: Path
) -> None:
    """And nobody with a certificate of another authority."""
    now = datetime.now(UTC)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ensure(ours, ours, now)
    ensure(theirs, theirs, now)
    handshake(ours, role, ours, other)
    with pytest.raises(ssl.SSLError):
        handshake(ours, role, theirs, other)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says what was made, and the settings of each role."""
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path}: made ca, scheduler, machine, coordinator\n")
    assert "# for the machine: ca.pem, machine.pem, machine.key\n" in said
    for name, text in settings(tmp_path, *ROLES).items():
        assert f"\n{name}={text}\n" in said
    assert main([str(tmp_path)]) == 0
    assert "made nothing, all is there" in capsys.readouterr().out


def test_what_is_not_ours_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence each."""
    (tmp_path / "ca.pem").write_text("my notes")
    (tmp_path / "ca.key").write_text("my notes")
    assert main([str(tmp_path)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "ca.pem").read_text() == "my notes"
    assert main([str(tmp_path / "ca.pem" / "below")]) == 5
    assert "cannot write into" in capsys.readouterr().err

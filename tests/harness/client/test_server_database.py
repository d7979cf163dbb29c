"""The server's own database where it cannot be asked."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from migration.errors import ServerDatabaseUnusable, ServerUnreachable
from migration.ledger.ledger import Ledger
from migration.model import Digest
from migration.server import postgresql

#: Nobody listens there.
AWAY = "postgresql://reader:hunter2secret@127.0.0.1:9/books?connect_timeout=2"
EMPTY = cast(Ledger, SimpleNamespace(note=lambda _name: None))


@pytest.mark.parametrize(
    ("uri", "error"),
    [(AWAY, ServerUnreachable), ("postgresql://x y", ServerDatabaseUnusable)],
    ids=["away", "nonsense"],
)
def test_what_is_wrong_is_named_without_the_password(uri: str, error: Any) -> None:
    """For hashes and for holders alike."""
    with pytest.raises(error) as first:
        postgresql.refresh(uri, EMPTY)
    with pytest.raises(error) as second:
        postgresql.holders(uri, [Digest("ab" * 20, 5)])
    for raised in (first, second):
        assert "hunter2secret" not in str(raised.value)

"""What a program that ./start.sh starts gets of the environment."""

from pathlib import Path

import pytest

from common.settings.load import sources
from common.settings.monitor import MonitorSettings
from common.settings.programs import Capacity, DashboardSettings
from common.settings.worker import WorkerSettings
from deploy.host.children import environment_for

#: A file of somebody who migrates to a server of their own.
DOT_ENV = """
MBS2_SERVER=http://nas:6006
MBS2_WS_URL=ws://nas:8080/ws
MBS2_USERNAME=me
MBS2_PASSWORD=hunter2
MBS2_DB_URI=postgresql://me:hunter2@nas/ebooks
MBS2_SECRET_KEY=of the server
OPENAI_API_KEY=key
HTTPS_PROXY=http://proxy:3128
MAX_CONTENT_LENGTH=1000000
DASHBOARD_PORT=8000
BOOKSHELF_TASK_SLOTS=2
BOOKSHELF_PERMISSIVE=1
PROBE_SECONDS=5
STUCK_THRESHOLD_SECONDS=60
"""
#: By models: what the program gets of that.
GETS = {
    (Capacity,): {"MAX_CONTENT_LENGTH", "BOOKSHELF_TASK_SLOTS"},
    (DashboardSettings,): {"DASHBOARD_PORT"},
    (MonitorSettings, WorkerSettings): {
        "MAX_CONTENT_LENGTH",
        "OPENAI_API_KEY",
        "PROBE_SECONDS",
        "STUCK_THRESHOLD_SECONDS",
    },
}


@pytest.mark.parametrize("models", GETS, ids=lambda models: models[0].__name__)
def test_it_gets_its_own_settings_and_nothing_of_another_server(
    models: tuple[type, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they are from; and it reads no file again."""
    (tmp_path / ".env").write_text(DOT_ENV, "utf-8")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("MBS2_WS_URL", "ws://elsewhere/ws")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    found = sources(tmp_path, {"PATH": "/bin", "MBS2_WS_URL": "ws://elsewhere/ws"})
    told = environment_for(found, *models)
    names = {line.partition("=")[0] for line in DOT_ENV.split()}
    assert names & set(told) == GETS[models] | {"HTTPS_PROXY"}
    assert (told["PATH"], told["READ_ENV_FILES"]) == ("/bin", "0")
    assert "NOTIFY_SOCKET" not in told

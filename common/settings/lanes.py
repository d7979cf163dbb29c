"""Settings of the ways in which books are sent."""

from dataclasses import dataclass

from common.settings import kinds
from common.settings.setting import setting
from common.settings.shared import Database

AUTO, API, DIRECT = "auto", "api", "direct"


@dataclass(frozen=True, kw_only=True)
class Lanes(Database):
    """How books are sent."""

    lane: str = setting(
        kinds.choice(AUTO, API, DIRECT),
        AUTO,
        variable="MIGRATE_LANE",
        option="--lane",
        metavar="WORD",
        what="api: book by book through the server's API; direct: straight into its "
        "database and data directory (docs/direct_lane.md); auto: direct where both are "
        "at hand and proved to be this server's, else api. To the embedded server many "
        "books go at a time, but with api",
    )
    covers: str = setting(
        kinds.choice("keep", "resize"),
        "resize",
        option="--covers",
        metavar="WORD",
        what="on the direct lane, resize: covers are made as large as the server makes "
        "them; keep: Calibre's files are taken as they are, which is faster",
    )
    lane_owner: str = setting(
        kinds.text(),
        "",
        option="--owner",
        metavar="NAME",
        default_text="MBS2_USERNAME",
        what="on the direct lane, the server's user who shall own the ebooks and their "
        "ratings",
    )

    @property
    def why_not_direct(self) -> str:
        """Which settings the direct lane lacks, as a clause; "" if it lacks none."""
        given = {"MBS2_DB_URI": self.db_uri, "MBS2_DATA_DIR": self.data_dir}
        lacking = [name for name, value in given.items() if not value]
        if not lacking:
            return ""
        verb = "is" if len(lacking) == 1 else "are"
        return f"{' and '.join(lacking)} {verb} not set"

    @property
    def lane_refusal(self) -> str:
        """Why these settings contradict each other, or ""."""
        if self.lane != DIRECT or not (why := self.why_not_direct):
            return ""
        return (
            f"--lane direct needs the server's database and its data directory: {why}; "
            "--lane auto does without"
        )

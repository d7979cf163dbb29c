"""Names of files in the state directory that several programs look for."""

#: The ledger, SQLite in WAL mode.
LEDGER_NAME = "migration_ledger.db"
#: The ledger's copy made at the end of the last closed pass.
BACKUP_NAME = "migration_ledger.backup.db"
#: Locked by the monitor for its whole life; it holds its pid.
MONITOR_PID = "monitor.pid"

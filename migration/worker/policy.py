"""What the policy script uses of the program, besides errors and the model."""

from migration.lanes.api.transfer import TransferObserver
from migration.lanes.lane import Lane, Work
from migration.ledger.records import Range, Registration, Stage
from migration.metadata.sendable import refuse_unsendable
from migration.server.payloads import name_keys
from migration.worker.checked.ledger import refresh_from_database
from migration.worker.failing import ROUNDS, Next, after_hold
from migration.worker.parts import Parts
from migration.worker.progress.tracker import Sending

__all__ = [
    "ROUNDS",
    "Lane",
    "Next",
    "Parts",
    "Range",
    "Registration",
    "Sending",
    "Stage",
    "TransferObserver",
    "Work",
    "after_hold",
    "name_keys",
    "refresh_from_database",
    "refuse_unsendable",
]

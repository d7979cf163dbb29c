"""What becomes shelves: read from the settings, checked when a worker starts."""

from common.settings.shared import Shelving
from migration.calibre.library import CalibreLibrary
from migration.errors import ShelfColumnUnusable
from migration.metadata.shelves import COLUMN_TYPES, ShelfChoice, chosen
from migration.worker.resources import Resources


def choice_of(options: Shelving) -> ShelfChoice:
    """Returns what becomes shelves."""
    return chosen(options.shelves, options.shelf_columns, public=options.public_shelves)


def column_names(library: CalibreLibrary) -> dict[str, str]:
    """Returns the names of Calibre's custom columns, by `#label`."""
    return {label: name for label, (name, _) in library.custom_columns().items()}


def check(opened: Resources) -> None:
    """Says once what the login may not do.

    Raises ShelfColumnUnusable for a column that the library lacks or that cannot become
    shelves.
    """
    choice = choice_of(opened.options)
    there = opened.library.custom_columns() if choice.columns else {}
    usable = sorted(name for name, (_, kind) in there.items() if kind in COLUMN_TYPES)
    for label in choice.columns:
        if label in usable:
            continue
        why = (
            f"is of the type {there[label][1]!r}"
            if label in there
            else "is not in this library"
        )
        raise ShelfColumnUnusable(
            f"the custom column {label} cannot become shelves: it {why}; "
            f"{', '.join(usable) or 'no column of it'} can"
        )
    if choice.any and not opened.client.session.is_superuser():
        opened.log.info(
            "The user lacks the role superuser: shelves are filled, but nothing on "
            "them is changed or removed"
        )

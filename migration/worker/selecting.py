"""Which books this process works on: those of the open pass, or those it is asked for.

Whoever joins a pass works on the pass's selection, whatever its own options say.
"""

from common.clock import utc_now
from migration.calibre import selected
from migration.calibre.library import CalibreLibrary
from migration.calibre.selection import EVERYTHING, Selection, asked, from_json
from migration.errors import AnotherSelection, NotInLibrary
from migration.ledger.scope import Scope, parse
from migration.worker.resources import Resources


def choose(opened: Resources) -> None:
    """Has the library read as the open pass or, without one, the options want it.

    Raises AnotherSelection, NotInLibrary or LibraryBusy.
    """
    found = None if opened.options.verify else opened.ledger.passes.open_scope()
    if found is None:
        wanted = asked(opened.options, utc_now())
        narrow(opened.library, wanted, strictly=not opened.options.join_only)
        return
    pass_id, text = found
    _adopt(opened, pass_id, text)


def agree(opened: Resources, pass_id: int) -> None:
    """Has the library read as the pass wants it that was joined.

    Another worker may have opened it since `choose`. Raises as that.
    """
    _adopt(opened, pass_id, opened.ledger.passes.scope(pass_id))


def _adopt(opened: Resources, pass_id: int, text: str) -> None:
    """Reads by a pass's selection; a start that asks for another is refused."""
    theirs = of_pass(text)
    wanted = asked(opened.options, utc_now())
    if wanted and not opened.options.join_only:
        refuse_another(wanted, theirs, pass_id)
    if theirs != opened.library.selection:
        opened.library.select(theirs)


def refuse_another(wanted: Selection, theirs: Selection, pass_id: int) -> None:
    """Raises AnotherSelection when the open pass has another selection."""
    if wanted.same(theirs):
        return
    about = f"with the selection {theirs}" if theirs else "over the whole library"
    raise AnotherSelection(
        f"pass {pass_id} is open {about}, and this start asks for {wanted}. Start "
        f"without selection to go on with pass {pass_id}; once it is closed, start "
        "with yours"
    )


def of_pass(text: str) -> Selection:
    """Returns the selection that a pass keeps."""
    return of_scope(parse(text))


def of_scope(kept: Scope | None) -> Selection:
    """Returns the selection of a pass's scope."""
    return EVERYTHING if kept is None else from_json(kept.selection)


def narrow(library: CalibreLibrary, wanted: Selection, *, strictly: bool) -> None:
    """Has the library read by a selection of new names.

    Raises NotInLibrary when `strictly` and one is unknown: a misspelt name must not
    look like a job that is done, nor a misspelt exception like one that holds.
    """
    if wanted == library.selection and not wanted:
        return
    library.select(wanted)
    lost = library.selected.not_found() if strictly else []
    if lost:
        raise NotInLibrary(f"{selected.told(lost)}; nothing was begun")


def scope_of(library: CalibreLibrary) -> str:
    """Returns what a pass over the library as it is read keeps; "" for all of it."""
    if not library.narrowed:
        return ""
    books = library.selected.book_count(selected=False)
    inside = library.selected.book_count(selected=True)
    wanted = library.selection
    return Scope(wanted.to_json(), str(wanted), books, books - inside).text()

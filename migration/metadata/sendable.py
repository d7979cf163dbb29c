"""Files the server cannot accept, by size and format, before a byte is read or sent.

Pure.
"""

from common.sanitize import for_log
from migration.errors import EmptyFile, TooBig, Unsupported
from migration.evidence import about
from migration.model import BookFile

#: Bytes of multipart framing around a file; the server's limit counts the whole body.
FRAMING_BYTES = 1024
#: The longest extension a server could know, in characters.
LONGEST_EXTENSION = 16


def refuse_unsendable(file: BookFile, limit: int) -> None:
    """Raises TooBig, EmptyFile or Unsupported, with evidence.

    `limit` is the server's, in bytes of a whole body.
    """
    with about(file.id):
        if file.size + FRAMING_BYTES > limit:
            raise TooBig(f"{file.size} bytes; the server accepts {limit} with framing")
        if file.size == 0:
            raise EmptyFile("the file is empty")
        extension = file.id.format
        if not (
            extension.isascii()
            and extension.isalnum()
            and len(extension) <= LONGEST_EXTENSION
        ):
            raise Unsupported(
                f"{for_log(extension)!r} is not a format a server could know"
            )

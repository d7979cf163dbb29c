"""The MIME types under which MyBookshelf2 knows formats.

Formats it does not ship are named after their extension. `application/octet-stream` is
sent for chm only: the server takes it for chm whatever the extension, and then fails on
the file.
"""

_MIME_TYPES = {
    "azw3": "application/x-mobi8-ebook",
    "chm": "application/octet-stream",
    "djvu": "image/vnd.djvu",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "fb2": "application/x-fictionbook+xml",
    "htm": "text/html",
    "html": "text/html",
    "lit": "application/x-ms-reader",
    "mobi": "application/x-mobipocket-ebook",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdb": "application/x-aportisdoc",
    "pdf": "application/pdf",
    "prc": "application/vnd.palm",
    "rtf": "application/rtf",
    "txt": "text/plain",
}


def mime_type(extension: str) -> str:
    """Returns the MIME type for a lower-case extension; always plain ASCII."""
    safe = "".join(char for char in extension if char.isascii() and char.isalnum())
    return _MIME_TYPES.get(extension, f"application/x-format-{safe or 'none'}")


#: A format that every server accepts: asked with it, a question is about bytes alone.
ANY_FORMAT = "epub"
#: The extensions MyBookshelf2 ships; a server may know more.
SHIPPED_FORMATS = frozenset(_MIME_TYPES)

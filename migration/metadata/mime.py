"""The MIME types under which MyBookshelf2 knows the formats it ships; others are named
after their extension.

`application/octet-stream` is never sent for anything but chm: the server takes it for
chm whatever the extension, and then fails on the file."""

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
    """The MIME type to send for a lower-case extension; plain ASCII whatever the
    extension is."""
    safe = "".join(char for char in extension if char.isascii() and char.isalnum())
    return _MIME_TYPES.get(extension, f"application/x-format-{safe or 'none'}")


#: The extensions MyBookshelf2 ships; a server may have been taught more.
SHIPPED_FORMATS = frozenset(_MIME_TYPES)

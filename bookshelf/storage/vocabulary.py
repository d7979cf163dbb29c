"""What the server can express: languages, genres and formats.

Ids agree with MyBookshelf2's where it has them.
"""

from common.lazily import pycountry

#: These come first, with MyBookshelf2's ids.
_FIRST = ("cs", "en", "sk", "ru")


def languages() -> list[tuple[int, str, str]]:
    """Returns every language with an ISO 639-1 code: (id, code, name)."""
    names = {
        language.alpha_2: language.name
        for language in pycountry.languages
        if hasattr(language, "alpha_2")
    }
    codes = [*_FIRST, *sorted(code for code in names if code not in _FIRST)]
    return [(number, code, names[code]) for number, code in enumerate(codes, 1)]


_GENRES = {
    1: "Adventure",
    2: "Biography",
    3: "Business/Investing",
    4: "Children's Books",
    5: "Computers/Internet",
    6: "Cooking/Food",
    7: "Crime/Mystery",
    8: "Essay",
    9: "Fantasy",
    10: "Fiction",
    11: "Health",
    12: "History",
    13: "Horror",
    14: "Humor/Satire",
    15: "Non-Fiction",
    16: "Novels",
    17: "Philosophy",
    18: "Plays",
    19: "Poetry",
    20: "Politics",
    21: "Psychology",
    22: "Religion",
    23: "Romance",
    24: "Science",
    25: "Science Fiction",
    26: "Sexuality",
    27: "Short Fiction",
    28: "Sports",
    29: "Thriller",
    30: "Travel",
    31: "War",
    32: "Western",
    34: "Educational",
    35: "Social Fiction",
    36: "Autobiography",
    37: "Youth's Books",
    38: "Historical Fiction",
    39: "Military",
    40: "Hobby",
    41: "Mysteries",
    42: "Social Sciences",
    43: "Espionage",
    44: "Post-catastrophic",
    45: "Women's Books",
    46: "Nature",
    47: "Fairy Tales And Myths",
    48: "Military SF",
    49: "Urban fantasy",
    50: "Comics",
    51: "Space Opera",
    52: "Magazine",
    53: "Action",
    54: "Psychological Fiction",
    55: "Art",
    56: "Mystic",
    57: "Alternative",
    58: "Technology",
    59: "Law",
    60: "Music",
    61: "Film",
    62: "Architecture",
    63: "Mathematics",
    64: "Medicine",
    65: "Gardening",
    66: "Parenting",
    67: "Reference",
    68: "Linguistics",
    69: "Classics",
    70: "Letters",
}


def genres() -> list[tuple[int, str]]:
    """Returns the genres: (id, name)."""
    return list(_GENRES.items())


#: Other names for genres, case-folded.
GENRE_SYNONYMS = {
    "sci-fi": "Science Fiction",
    "humor": "Humor/Satire",
    "satire": "Humor/Satire",
}

#: Id, extension and MIME type, as MyBookshelf2 ships them.
FORMATS = (
    (1, "pdf", "application/pdf"),
    (2, "txt", "text/plain"),
    (3, "pdb", "application/x-aportisdoc"),
    (4, "rtf", "application/rtf"),
    (5, "doc", "application/msword"),
    (6, "mobi", "application/x-mobipocket-ebook"),
    (7, "prc", "application/vnd.palm"),
    (8, "epub", "application/epub+zip"),
    (9, "odt", "application/vnd.oasis.opendocument.text"),
    (10, "djvu", "image/vnd.djvu"),
    (11, "html", "text/html"),
    (12, "htm", "text/html"),
    (13, "chm", "application/octet-stream"),
    (14, "lit", "application/x-ms-reader"),
    (15, "fb2", "application/x-fictionbook+xml"),
    (
        16,
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (17, "azw3", "application/x-mobi8-ebook"),
)


def format_of(mime_type: str, extension: str | None) -> tuple[int, str] | None:
    """Returns (id, extension) by MIME type, or else by extension.

    Returns None if not accepted.
    """
    for number, known, mime in FORMATS:
        if mime == mime_type.lower():
            return number, known
    for number, known, _mime in FORMATS:
        if known == extension:
            return number, known
    return None


def language_of(code: str) -> str:
    """Converts ISO 639-3 or 639-1 to two letters, or returns the code."""
    found = pycountry.languages.get(alpha_3=code) if len(code) == 3 else None
    return getattr(found, "alpha_2", code) if found is not None else code

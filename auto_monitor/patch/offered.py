"""What code of the policy script can reach, by the objects that it holds.

Values are free: what a text, a number, a list or an error offers is ordinary Python.
These tables name what is more than a value: the collaborators of the worker, modules,
and the few names that would lead out of them.
"""

import builtins
from collections.abc import Mapping
from types import MappingProxyType


def names(text: str) -> frozenset[str]:
    """Returns the words of a text."""
    return frozenset(text.split())


#: The most lines that may be added or removed.
MOST_LINES = 120
#: What hands over to the program, and the property its callers rely on.
FIXED = frozenset({"main", "pass_id"})

#: An attribute that is a value or a method.
FREE: Mapping[str, object] = MappingProxyType({})


def _free(names: str) -> dict[str, Mapping[str, object]]:
    return dict.fromkeys(names.split(), FREE)


Offer = Mapping[str, object]
#: What each collaborator in `self` offers; one inside another is a table of its own.
#: The script asks, waits and hands over with it. What deletes, makes, forgets or counts
#: behind the ledger's back is not here, nor is any connection.
COLLABORATORS: Mapping[str, Offer] = {
    "library": _free(
        "read_files read_books last_id_of_range highest_book_id file_count formats "
        "books_without_files list_formats narrowed root uuid listed origins "
        "custom_columns"
    ),
    "client": {
        **_free("probe vocabulary known_vocabulary"),
        "session": _free("server silent login user_id is_superuser"),
    },
    "session": _free("server silent login user_id is_superuser"),
    "transport": _free("open hands trouble identify"),
    "ledger": {
        **_free("check_in_place rebuilt settles_at"),
        "files": {
            **_free("claim_range close_range register begin reach give_back"),
            "left": _free("give_up firsts are_all"),
        },
        "passes": _free("is_closed remaining_ids scope open_scope"),
        "end": _free("is_due take has_changed_books arrived knows_its_start"),
        "hashes": _free("take take_names learn_one count"),
        "books": _free("get let_go"),
    },
    "tracker": _free(
        "set now range_read slow failed_with sending processed count snapshot"
    ),
    "pool": {
        **_free("start grow size check rest meanwhile heed_stop sleep"),
        "queue": _free(
            "load done defer drop_waiting wait rest has_room holds pause active idle"
        ),
    },
    "log": _free(
        "debug info warning error exception critical log isEnabledFor name level"
    ),
    "byte_limiter": _free("waiting wait"),
    "file_limiter": _free("waiting wait"),
    "time_limit": _free("is_up pause"),
    "hold": _free("ask left"),
    "current": _free("id count_orphan"),
    "joining": _free("join"),
    "streak": _free("failing ends"),
    "accounting": {**_free("account give_back failed"), "left_pending": FREE},
    "api": _free("send reconcile finish_book carry"),
    "lane": _free("carry"),
    "range_books": _free("metadata removed without_files notice"),
    "spot_check": _free("begin ask_range"),
    "last_look": _free("begin take"),
    "conclusion": _free("conclude"),
}
#: Any field, but those that hold a secret.
OPTIONS = "options"
SECRETS = frozenset({"password", "db_uri"})
#: Values that belong to the substrate: looked at, never changed.
READ_ONLY = frozenset({("accounting", "left_pending")})
MUTATORS = names(
    "append add clear discard extend insert pop popitem remove reverse setdefault sort "
    "update appendleft popleft difference_update intersection_update "
    "symmetric_difference_update put put_nowait"
)
#: What `tracker.set` may be given: how the worker is doing, never what it has done.
SHOWN = frozenset({"status", "range", "parallel_uploads"})

#: Names of attributes that lead out of any value: to files, processes, hosts, frames,
#: SQL, deletion.
DENIED = names(
    "open write writelines write_text write_bytes read_text read_bytes unlink rmdir "
    "rename mkdir makedirs touch chmod lchmod symlink_to hardlink_to link_to truncate "
    "detach buffer raw fileno home cwd chdir rmtree remove_file copyfile move "
    "system popen Popen spawn fork kill killpg terminate send_signal "
    "urlopen urlretrieve create_connection connect sendall sendto makefile "
    "execute executemany executescript cursor commit rollback transaction reading "
    "connection backup back_up load_extension set_authorizer "
    "handlers manager addHandler removeHandler addFilter removeFilter setLoggerClass "
    "makeRecord callHandlers "
    "delete delete_whole delete_source forget forget_all forget_names unlearn "
    "retry_failed adopt bind undoing doubts "
    "http access_token call task password db_uri "
    "mro obj format_map exec_module load_module import_module modules "
    "builtins environ environb opened resources"
)

#: What is free of modules, should the script have them; the path below the module.
MODULES: Mapping[str, frozenset[str]] = {
    "os": names(
        "fsdecode fsencode fspath sep extsep path.basename path.dirname path.join "
        "path.splitext path.normpath path.exists path.isfile path.isdir path.getsize "
        "path.sep O_RDONLY"
    ),
    "time": names("monotonic time perf_counter sleep monotonic_ns time_ns"),
    "datetime": names("datetime timedelta timezone date UTC"),
    "math": names(
        "ceil floor inf isclose isfinite isinf isnan log log2 log10 nan sqrt trunc "
        "fsum prod"
    ),
    "re": names(
        "compile match fullmatch search sub split findall finditer escape error I M S "
        "IGNORECASE MULTILINE DOTALL ASCII Pattern Match"
    ),
    "json": names("loads dumps JSONDecodeError"),
    "random": names("random uniform randint choice shuffle sample"),
    "collections": names("deque Counter OrderedDict defaultdict"),
    "itertools": names(
        "chain islice count cycle repeat groupby pairwise takewhile dropwhile "
        "zip_longest accumulate batched product"
    ),
    "functools": frozenset(["partial", "lru_cache", "cache"]),
    "contextlib": frozenset(["suppress", "closing", "nullcontext"]),
    "dataclasses": frozenset(["replace"]),
    "threading": names(
        "Lock RLock Event Condition Semaphore BoundedSemaphore Barrier get_ident "
        "BrokenBarrierError"
    ),
    "queue": names("Queue LifoQueue PriorityQueue SimpleQueue Empty Full"),
    "concurrent.futures": names(
        "Future CancelledError TimeoutError wait as_completed FIRST_COMPLETED "
        "ALL_COMPLETED"
    ),
    "hashlib": names("sha1 sha256 sha512 md5 blake2b"),
    "logging": names("DEBUG INFO WARNING ERROR CRITICAL"),
    "unicodedata": names("normalize category name"),
    "string": names("digits ascii_letters punctuation printable"),
    "tenacity": names(
        "Retrying RetryError TryAgain stop_after_attempt stop_after_delay "
        "stop_before_delay stop_any stop_all stop_never wait_exponential wait_fixed "
        "wait_random wait_random_exponential wait_incrementing wait_chain wait_combine "
        "wait_none retry_if_exception retry_if_not_exception "
        "retry_if_exception_type retry_if_not_exception_type retry_any retry_all "
        "retry_if_result"
    ),
    "common.sanitize": names("sanitize_text sanitize_filename for_log"),
    "migration.state_files.logs": names(
        "querying found processed_batch no_longer_listed failed slow_upload "
        "hash_refresh api_connectivity"
    ),
}
#: Modules of ours that the script holds under these names, with their real place.
OURS = {
    "common.lazily.tenacity": "tenacity",
    "common.sanitize": "common.sanitize",
    "migration.state_files.logs": "migration.state_files.logs",
}
#: Proofs, and what identifies bytes: only looked at.
PROOFS = frozenset(
    {"Known", "Receipt", "RemoteMatch", "Evidence", "Digest", "Taken", "Path"}
)
#: Functions and classes of ours that open, start or put together: used as they are now.
AS_NOW = frozenset(
    {"refresh_from_database", "worker", "Parts", "CalibreMigrator", "PROJECT", "main"}
)
#: Fields that `replace` must not change: those of proofs and outcomes.
PROVEN = names(
    "digest proof outcome evidence sha1 size file id ebook_id source_id reason message "
    "about path"
)
#: Keywords that only limit a call.
LIMITING = frozenset({"timeout", "block", "blocking", "daemon", "maxsize"})

#: Calls that prove or account for something: what a function does of it, it goes on
#: doing, and unconditionally if it was unconditional.
KEPT = names(
    "account ask_range begin carry check_in_place close_range count_orphan done failed "
    "finish_book give_back identify learn_one notice process_file range_read reach "
    "reconcile refuse_unsendable register send take"
)

_NO_BUILTINS = names(
    "open exec eval compile input breakpoint globals locals vars dir getattr setattr "
    "delattr hasattr type super property staticmethod classmethod print exit "
    "quit help copyright credits license memoryview aiter anext "
    "BaseException Exception BaseExceptionGroup SystemExit KeyboardInterrupt "
    "GeneratorExit"
)
#: Built-in functions, types and errors that are free.
BUILTINS = frozenset(
    name for name in dir(builtins) if name[0] != "_" and name not in _NO_BUILTINS
)
#: Errors that everything else is: caught only to be raised again.
BROAD = frozenset({"Exception", "BaseException", "BaseExceptionGroup"})
#: Built-in names that may be names of variables.
MAY_BE_HIDDEN = names("id hash format slice license copyright credits")

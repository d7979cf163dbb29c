"""The stacks of a worker: each place once, and where it hangs."""

from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.decide.stacks import Stack, distinct, hung

TEXT = """\
Thread uploader-1 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/x/migration/worker/threads/work_queue.py", line 88 in get
Thread uploader-2 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/x/migration/worker/threads/work_queue.py", line 88 in get
Thread uploader-3 (most recent call first):
  File "/x/bulk_migrate_calibre.py", line 612 in upload_file
  File "/x/bulk_migrate_calibre.py", line 590 in process_file

Thread MainThread (most recent call first):
  File "/x/bulk_migrate_calibre.py", line 270 in look_after
"""
WAIT = (
    'File "/usr/lib/python3.11/threading.py", line 320 in wait',
    'File "/x/migration/worker/threads/work_queue.py", line 88 in get',
)


def test_each_place_is_shown_once() -> None:
    """With all threads that are there."""
    found = distinct(TEXT)
    assert found[0] == Stack(("uploader-1", "uploader-2"), WAIT)
    assert [one.threads for one in found[1:]] == [("uploader-3",), ("MainThread",)]


def test_what_python_itself_writes_is_read_too() -> None:
    """Of a worker whose threads do not let Python code run: numbers instead of names."""
    text = """\
Thread 0x00007f1 (most recent call first):
  File "/x/a.py", line 1 in f
Current thread 0x00007f2 [worker] (most recent call first):
  File "/x/a.py", line 1 in f
"""
    assert distinct(text) == [
        Stack(("0x00007f1", "0x00007f2"), ('File "/x/a.py", line 1 in f',))
    ]


def test_the_place_of_a_crash_has_no_threads() -> None:
    """It is one stack."""
    assert distinct("a\nb") == [Stack((), ("a", "b"))]
    assert distinct("") == []


def test_a_moving_main_thread_does_not_say_where_it_hangs() -> None:
    """It is in another place at each look; unless nobody else is in the script."""
    ours = {"upload_file", "process_file"}
    assert hung(TEXT, "bulk_migrate_calibre", main_moves=True) == ours
    every = hung(TEXT, "bulk_migrate_calibre", main_moves=False)
    assert every == {*ours, "look_after"}
    alone = TEXT.replace('/x/bulk_migrate_calibre.py", line 6', '/x/b.py", line 6')
    alone = alone.replace('/x/bulk_migrate_calibre.py", line 5', '/x/b.py", line 5')
    assert hung(alone, "bulk_migrate_calibre", main_moves=True) == {"look_after"}


def test_a_stack_outside_the_script_counts_as_it_is() -> None:
    """Nothing of the script is in it."""
    text = 'File "/x/library.py", line 12 in read'
    assert hung(text, "w", main_moves=True) == {"library.py:read"}


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """A worker that is killed writes half of it."""
    for one in distinct(text):
        assert one.frames
    hung(text, "w", main_moves=True)

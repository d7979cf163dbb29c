"""What a code fix may not do: sixty hostile ones, none of them allowed; and the right
ones that are."""

import pytest

from auto_monitor.patch.guard import objections
from auto_monitor.patch.vocabulary import PATCHABLE
from tests.support.monitor.editkit import SOURCE, functions

FUNCTIONS = functions()


def with_first_line(name: str, *lines: str) -> str:
    """The worker with these lines first in a function's body (after its docstring)."""
    old = FUNCTIONS[name]
    end = old.index('"""', old.index('"""') + 3) + 3
    more = "".join(f"\n        {line}" for line in lines)
    return SOURCE.replace(old, old[:end] + more + old[end:])


def changed(old: str, new: str) -> str:
    """The worker with one text for another."""
    assert SOURCE.count(old) == 1, old
    return SOURCE.replace(old, new)


#: Put first in `next_range`, which may be changed.
HOSTILE_LINES = [
    ("import os",),
    ("from os import environ",),
    ("__import__('os').system('id')",),
    ("eval('1')",),
    ("exec('x = 1')",),
    ("compile('1', 'x', 'eval')",),
    ("open('x', 'w')",),
    ("open('/etc/passwd').read()",),
    ("getattr(self, 'client')",),
    ("setattr(self, 'pass_id', 0)",),
    ("globals()",),
    ("locals()",),
    ("vars(self)",),
    ("dir(self)",),
    ("__builtins__['open']('x')",),
    ("self.__class__.__mro__",),
    ("().__class__.__bases__[0].__subclasses__()",),
    ("self.log.info(str(self.options))",),
    ("self.log.info('%s', self.options)",),
    ("self.log.info(self.options.password)",),
    ("self.client.delete(1)",),
    ("self.library.root.unlink()",),
    ("(self.options.state_dir / 'x').write_text('x')",),
    ("os.remove('x')",),
    ("os.system('id')",),
    ("sys.exit(0)",),
    ("raise SystemExit",),
    ("raise KeyboardInterrupt",),
    ("breakpoint()",),
    ("input()",),
    ("print(1)",),
    ("subprocess.run(['id'])",),
    ("socket.socket()",),
    ("self.log.info('http://evil.example/x')",),
    ("self.log.info('see evil.com')",),
    ("self.log.info('/etc/shadow')",),
    ("self.log.info('~/.ssh/id_rsa')",),
    ("self.log.info('10.0.0.7')",),
    ("x = [__import__('os') for _ in (1,)]",),
    ("x = f\"{__import__('os').environ}\"",),
    ("x = f'{self.options!r}'",),
    ("x = (lambda: self.client)().delete",),
    ("x = '{0.client.password}'.format(self)",),
    ("len = self.log.info",),
    ("def hidden(x=open('x')): return x",),
    ("class Hidden: pass",),
    ("global PROJECT",),
    ("del self.ledger",),
    ("self.ledger = None",),
    ("self.pass_id = 99",),
    ("self.next_range = None",),
    ("try:", "    pass", "except Exception:", "    return None"),
    ("try:", "    pass", "except:", "    return None"),
    ("try:", "    pass", "except BaseException:", "    return None"),
    ("x = 9 ** 9 ** 9",),
    ("x = 1 << 999999999",),
    ("x = 99999999999999999999",),
    ("x = b'\\x7fELF'",),
    ("[self.log.info][0]('x')",),
    ("x = self.log.info; x('y')",),
    ("yield 1",),
    ("await self.tick(0.0)",),
    ("async def hidden(): pass",),
    ("return None",),
    ("with open('x') as f: pass",),
    ("x = self",),
    ("x = [self.client]",),
    ("self.ledger.files.account(self.pass_id, None)",),
    ("self.ledger._database.transaction()",),
    ("if True: return None",),
    (
        "match self:",
        "    case str(x): pass",
    ),
    ("self.ledger.books.forget(1)",),
    ("type(self)",),
    ("super().tick(0.0)",),
    ("self.options.password.split('a')",),
    ("self.client.session.post('x')",),
]


@pytest.mark.parametrize("lines", HOSTILE_LINES, ids=range(len(HOSTILE_LINES)))
def test_hostile_lines_are_refused(lines: tuple[str, ...]) -> None:
    """Imports, processes, sockets, deletion, secrets, hosts, paths, escapes in every
    dress."""
    assert objections(SOURCE, with_first_line("next_range", *lines))


HOSTILE_CHANGES = {
    "a decorator": lambda: changed(
        "    def next_range(self)", "    @property\n    def next_range(self)"
    ),
    "a decorator with code": lambda: changed(
        "    def tick(self", "    @print\n    def tick(self"
    ),
    "a default argument": lambda: changed(
        "def tick(self, seconds: float)", "def tick(self, seconds: float = exit())"
    ),
    "another parameter": lambda: changed(
        "def tick(self, seconds: float)", "def tick(self, seconds: float, x: int)"
    ),
    "an annotation": lambda: changed(
        "def next_range(self) -> Range | None:", "def next_range(self) -> exit():"
    ),
    "renamed": lambda: changed(
        "def next_range(self) -> Range | None:", "def nextrange(self) -> Range | None:"
    ),
    "a function of proof": lambda: changed(
        "        return self.ledger.hashes.learn_one(proof)",
        "        return self.ledger.hashes.learn_one(None)",
    ),
    "main": lambda: changed(
        "    return worker(sys.argv", "    return worker([]) or worker(sys.argv"
    ),
    "a constant": lambda: changed("TRIES = 4", "TRIES = 400"),
    "an import": lambda: changed("import sys\n", "import sys\nimport socket\n"),
    "a new function": lambda: SOURCE + "\n\ndef more() -> None:\n    pass\n",
    "a file is not accounted for": lambda: changed(
        "self.accounting.account(work, file, self.process_file(work, file))",
        "self.process_file(work, file)",
    ),
    "a failure is not counted": lambda: changed(
        "if self.accounting.failed(work, error) is Next.LEAVE_BOOK:",
        "if work.begun is None:",
    ),
    "the book is not finished": lambda: changed(
        "        self.api.finish_book(work)\n", ""
    ),
    "no answer is looked up": lambda: changed("        self.api.reconcile(work)\n", ""),
    "the lane is handed on": lambda: with_first_line(
        "process_book", "work.made = self.api"
    ),
    "the accounting is handed on": lambda: with_first_line(
        "attempt_book", "x = self.accounting"
    ),
    "the class": lambda: changed(
        "class CalibreMigrator:", "class CalibreMigrator(dict):"
    ),
    "a base of it": lambda: changed(
        "class CalibreMigrator:", "class CalibreMigrator(metaclass=exit):"
    ),
    "a method aliased": lambda: changed(
        "    # -- the story", "    migrate = print\n    # -- the story"
    ),
    "the hash is not computed": lambda: changed(
        "        digest = self.identify(work, file, watch)\n", "        digest = None\n"
    ),
    "hash check in a dead branch": lambda: changed(
        "        digest = self.transport.identify(file, watch)",
        "        while False:\n            digest = self.transport.identify(file, watch)",
    ),
    "the check only sometimes": lambda: changed(
        "        self.refuse_unsendable(file)\n",
        "        if file.size > 10:\n            self.refuse_unsendable(file)\n",
    ),
    "the range is not closed": lambda: changed(
        "or self.ledger.files.close_range(owned)",
        "or True",
    ),
    "not registered": lambda: changed(
        "registered = self.ledger.files.register(owned, files)", "registered = files"
    ),
    "too many lines": lambda: with_first_line(
        "next_range", *[f"x{n} = {n}" for n in range(121)]
    ),
    "dead code after a return": lambda: with_first_line(
        "upload_file", "return self.api.send(work, file, None, None, None)"
    ),
}


@pytest.mark.parametrize("case", HOSTILE_CHANGES)
def test_hostile_changes_are_refused(case: str) -> None:
    """Outside of bodies, of what proves, and of proofs within bodies."""
    assert objections(SOURCE, HOSTILE_CHANGES[case]())


RIGHT = {
    "nothing": lambda: SOURCE,
    "a deadline": lambda: with_first_line(
        "next_range",
        "tries = 0",
        "while tries < 3:",
        "    self.tick(1.0)",
        "    tries += 1",
    ),
    "a message": lambda: with_first_line(
        "tick", "self.log.info('still here, %s', seconds)"
    ),
    "a smaller share": lambda: changed(
        "self.ledger.passes.remaining_ids(self.pass_id) // 8",
        "self.ledger.passes.remaining_ids(self.pass_id) // 16",
    ),
    "a comment": lambda: with_first_line("tick", "# nothing else"),
    "fewer tries": lambda: changed(
        "stop=tenacity.stop_after_attempt(TRIES)", "stop=tenacity.stop_after_attempt(2)"
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_small_changes_of_what_may_change_are_allowed(case: str) -> None:
    """Also in the words of the tables."""
    assert objections(SOURCE, RIGHT[case]()) == []


@pytest.mark.parametrize("name", sorted(PATCHABLE))
@pytest.mark.parametrize(
    "fault",
    ["while True: pass", "raise Transient('x')", "__import__('time').sleep(10**6)"],
)
def test_every_function_can_be_given_back_its_own_text(name: str, fault: str) -> None:
    """A fault put into any method can be taken out again; the table names only
    functions that exist."""
    assert objections(with_first_line(name, fault), SOURCE) == []

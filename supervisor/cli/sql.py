"""`supervisor logs --sql`: the records as two views in DuckDB, asked in SQL.

    logs     what containers printed: ts, level, event, container, run, stream, seq, line, data, line_b64, partial
    events   the supervisor's own records: ts, level, event, container, run, record

`ts` is in UTC; `data` and `record` are JSON. Laws: each record once: what is read are the files that were there at the
beginning, by descriptor, whatever is closed, compressed or dropped meanwhile. A statement can read nothing else of the machine and
write nothing: DuckDB is locked before it sees it. A line that is no record is left out, and so is what of a damaged file
cannot be read.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from supervisor.cli.logfolder import chosen
from supervisor.errors import SupervisorError
from supervisor.logs import walk
from supervisor.logs.damage import Damages, nobody
from supervisor.logs.frames import FRAME
from supervisor.logs.segment import SUFFIX, Salvaged, Segment
from supervisor.logs.segments import SUPERVISOR

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS = 1000
_HEAD = {"ts": "TIMESTAMP", "level": "VARCHAR", "event": "VARCHAR", "container": "VARCHAR", "run": "BIGINT"}
_OUTPUT = _HEAD | {
    "stream": "VARCHAR", "seq": "BIGINT", "line": "VARCHAR", "data": "JSON", "line_b64": "VARCHAR", "partial": "BOOLEAN",
}  # fmt: skip
_COMPRESSION = {SUFFIX: "none", ".jsonl.zst": "zstd", ".jsonl.gz": "gzip"}
#: Bytes of one record, at most.
_LARGEST = 64 << 20


def ask(
    folder: str, names: Sequence[str], statement: str, tell: Callable[[str, str], None] = nobody
) -> Iterator[tuple[list[tuple[str, str]], list[tuple[Any, ...]]]]:
    """The last answer: (name, type) of its columns, with up to ROWS rows at a time; SupervisorError says what is wrong.

    `tell` is given each file that cannot be read completely, and what is wrong with it.
    """
    duckdb = _duckdb()
    with ExitStack() as stack:
        log_dir = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, log_dir)
        aside = stack.enter_context(tempfile.TemporaryDirectory(prefix="supervisor-sql-"))
        damages = Damages(lambda file, wrong: tell(f"{folder}/{file}", wrong))
        output = _opened(stack, log_dir, chosen(log_dir, folder, names), damages, aside)
        own = _opened(stack, log_dir, [SUPERVISOR], damages, aside)
        base = stack.enter_context(duckdb.connect(config={"temp_directory": aside}))
        try:
            base.execute(f"CREATE VIEW logs AS {_logs(output)}")
            base.execute(f"CREATE VIEW events AS {_events(own)}")
            _lock(base, [*output, *own])
            base.execute(statement)
            columns = [(str(each[0]), str(each[1])) for each in base.description or ()]
            yield columns, base.fetchmany(ROWS) if columns else []
            while columns and (rows := base.fetchmany(ROWS)):
                yield columns, rows
        except duckdb.Error as error:
            raise SupervisorError(f"logs --sql: {_said(error)}") from None


def _duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415  # optional, and 100 ms
    except ImportError:
        raise SupervisorError("logs --sql needs DuckDB: pip install 'modoki[sql]'") from None
    return duckdb


def _said(error: Exception) -> str:
    """In one line: DuckDB points at the place in several."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())


def _opened(
    stack: ExitStack, log_dir: int, names: Iterable[str], damages: Damages, aside: str
) -> list[Segment]:
    """All of them looked through: DuckDB gives up at some damage, and takes the content of other for records."""
    found = [(name, segment) for name in names for segment in walk.newest_first(log_dir, name, damages)]
    with ThreadPoolExecutor() as pool:  # decompressing lets go of the interpreter
        looked = list(pool.map(lambda each: damages.looked_through(log_dir, *each), found))
    opened = [_plain(segment, aside) if isinstance(segment, Salvaged) else segment for segment in looked]
    for segment in opened:
        stack.callback(segment.close)
    return opened


def _plain(segment: Salvaged, aside: str) -> Segment:
    """What can be read of a damaged one, in a file without a name."""
    fd = os.open(aside, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    with closing(segment), open(fd, "wb", closefd=False) as file:
        at = 0
        while content := segment.pread(FRAME, at):
            at += file.write(content)
    return Segment(fd, segment.stem + SUFFIX)


def _lock(base: "DuckDBPyConnection", opened: Iterable[Segment]) -> None:
    """Nothing but the files that are open, no network, no extensions, and no way back."""
    base.execute(f"SET allowed_paths = {_list(opened)}")
    for setting in (
        "enable_external_access = false",
        "autoinstall_known_extensions = false",
        "lock_configuration = true",
    ):
        base.execute(f"SET {setting}")


# ── views ──────────────────────────────────────────────────────────────────────────────────


def _logs(opened: Iterable[Segment]) -> str:
    columns = "{" + ", ".join(f"{name}: '{kind}'" for name, kind in _OUTPUT.items()) + "}"
    parts = [
        f"SELECT * FROM read_json({_list(some)}, format = 'newline_delimited', compression = '{form}', "  # noqa: S608 - no text of anybody's
        f"columns = {columns}, ignore_errors = true, maximum_object_size = {_LARGEST}) WHERE event = 'output'"
        for form, some in _by_form(opened)
    ]
    return " UNION ALL ".join(parts) or _nothing(_OUTPUT)


def _events(opened: Iterable[Segment]) -> str:
    head = ", ".join(f"CAST(json ->> '{name}' AS {kind}) AS {name}" for name, kind in _HEAD.items())
    parts = [
        f"SELECT {head}, json AS record FROM read_json_objects({_list(some)}, format = 'newline_delimited', "  # noqa: S608 - no text of anybody's
        f"compression = '{form}', ignore_errors = true, maximum_object_size = {_LARGEST}) WHERE json IS NOT NULL"
        for form, some in _by_form(opened)
    ]
    return " UNION ALL ".join(parts) or _nothing(_HEAD | {"record": "JSON"})


def _nothing(columns: dict[str, str]) -> str:
    return (
        "SELECT "
        + ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in columns.items())
        + " WHERE false"
    )


def _by_form(opened: Iterable[Segment]) -> Iterator[tuple[str, list[Segment]]]:
    for suffix, form in _COMPRESSION.items():
        if some := [segment for segment in opened if segment.suffix == suffix]:
            yield form, some


def _list(opened: Iterable[Segment]) -> str:
    return "[" + ", ".join(f"'/proc/self/fd/{segment.fileno()}'" for segment in opened) + "]"

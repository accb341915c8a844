# bash completion for tidegate

# Names of published outputs, from the journal; nothing when there is none.
_tidegate_outputs() {
  local state=() i
  for ((i = 1; i < ${#COMP_WORDS[@]} - 1; i++)); do
    if [[ ${COMP_WORDS[i]} == --state ]]; then state=(--state "${COMP_WORDS[i + 1]}"); fi
  done
  "${COMP_WORDS[0]}" trust --json "${state[@]}" 2>/dev/null | grep -o '"output": *"[^"]*"' | cut -d'"' -f4
}

_tidegate() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
  local commands="init check plan run trust query runs events explain rollback audit path gc simulate incidents incident notify runbook quarantine"
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --state | --workers | --memory | --seed | --rows | --most | --limit | --age) ((i++)) ;;
      -*) ;;
      *)
        command=${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  case $previous in
    --state) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --parquet | -o | --output) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --require) mapfile -t COMPREPLY < <(compgen -W "trusted" -- "$current"); return ;;
    --of-output) mapfile -t COMPREPLY < <(compgen -W "$(_tidegate_outputs)" -- "$current"); return ;;
    --workers | --memory | --seed | --at | --to | --explain | --rows | --most | --type | --after | --limit | --age) return ;;
  esac
  if [[ $current == -* ]]; then
    local options="--state --json --quiet --help"
    if [[ -z $command ]]; then options="--help --version"; fi
    case $command in
      check) options="$options --explain" ;;
      plan) options="$options -o --output --workers --memory" ;;
      run) options="$options --workers --memory --cgroup --seed --force" ;;
      trust) options="$options --at --verify --record" ;;
      query) options="$options --csv --parquet --require --rows --memory" ;;
      runs) options="$options --most" ;;
      events) options="$options --type --of-output --after --most" ;;
      gc) options="$options --limit --age --dry-run" ;;
      simulate) options="$options --seeds --faults --workers --hosts --trace" ;;
      incidents) options="$options --all" ;;
      quarantine) options="$options --all --why" ;;
      rollback) options="$options --to" ;;
      audit) options="$options --take-over" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    return
  fi
  case $command in
    '') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current") ;;
    check | plan | run)
      mapfile -t COMPREPLY < <(compgen -f -X '!*.yaml' -- "$current"; compgen -f -X '!*.yml' -- "$current"; compgen -f -X '!*.plan' -- "$current"; compgen -d -S / -- "$current")
      ;;
    notify | runbook)
      mapfile -t COMPREPLY < <(compgen -f -X '!*.yaml' -- "$current"; compgen -f -X '!*.yml' -- "$current"; compgen -d -S / -- "$current")
      ;;
    quarantine)
      if [[ $previous == quarantine ]]; then
        mapfile -t COMPREPLY < <(compgen -W "list show release drop" -- "$current")
      elif [[ $previous == list ]]; then
        mapfile -t COMPREPLY < <(compgen -f -X '!*.yaml' -- "$current"; compgen -f -X '!*.yml' -- "$current"; compgen -d -S / -- "$current")
      fi
      ;;
    init) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    trust | rollback | audit | path | explain)
      mapfile -t COMPREPLY < <(compgen -W "$(_tidegate_outputs)" -- "$current")
      ;;
  esac
}
complete -o filenames -F _tidegate tidegate

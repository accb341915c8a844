# fish completion for tidegate

function __tidegate_outputs
    tidegate trust --json 2>/dev/null | string match -rag '"output": *"([^"]*)"'
end

set -l commands init check plan run trust query runs events explain rollback audit path gc simulate incidents incident notify runbook quarantine
set -l none "not __fish_seen_subcommand_from $commands"

complete -c tidegate -f
complete -c tidegate -n "$none" -a init -d 'a first pipeline over a small real data set'
complete -c tidegate -n "$none" -a check -d 'every mistake at once; proves each stage safe to split'
complete -c tidegate -n "$none" -a plan -d 'exactly what would run, why so, and what is reused'
complete -c tidegate -n "$none" -a run -d 'run, verify, publish'
complete -c tidegate -n "$none" -a trust -d 'the verdict of each output and its reasons'
complete -c tidegate -n "$none" -a query -d 'SQL over published outputs'
complete -c tidegate -n "$none" -a runs -d 'the history of runs'
complete -c tidegate -n "$none" -a events -d 'the journal'
complete -c tidegate -n "$none" -a explain -d 'why a run, output, task or generation is as it is'
complete -c tidegate -n "$none" -a rollback -d 'swap back to an earlier generation'
complete -c tidegate -n "$none" -a audit -d 'read the files again against the manifest'
complete -c tidegate -n "$none" -a path -d 'where the current generation lies'
complete -c tidegate -n "$none" -a gc -d 'drop what no promise needs'
complete -c tidegate -n "$none" -a simulate -d 'the pipeline in worlds that fail'
complete -c tidegate -n "$none" -a incidents -d 'what went wrong and is not right yet'
complete -c tidegate -n "$none" -a incident -d 'the story of one'
complete -c tidegate -n "$none" -a notify -d 'send news of incidents that is due'
complete -c tidegate -n "$none" -a runbook -d 'what to do when something fails'
complete -c tidegate -n "$none" -a quarantine -d 'rows that were set aside: list, show, release, drop'

complete -c tidegate -l state -r -a '(__fish_complete_directories)' -d 'the state directory'
complete -c tidegate -l json -d 'events, one a line, or one document'
complete -c tidegate -l quiet -d 'errors only'
complete -c tidegate -l help -d help
complete -c tidegate -n "$none" -l version -d 'the version'

complete -c tidegate -n '__fish_seen_subcommand_from check plan run init notify runbook' -F
complete -c tidegate -n '__fish_seen_subcommand_from check' -l explain -x -d 'a page about a diagnostic'
complete -c tidegate -n '__fish_seen_subcommand_from plan' -s o -l output -r -F -d 'save the plan'
complete -c tidegate -n '__fish_seen_subcommand_from plan run' -l workers -x -d 'worker processes'
complete -c tidegate -n '__fish_seen_subcommand_from plan run' -l memory -x -d 'of the whole host'
complete -c tidegate -n '__fish_seen_subcommand_from run' -l seed -x -d 'of attempt names and retry pauses'
complete -c tidegate -n '__fish_seen_subcommand_from run' -l cgroup -d 'each worker in a memory cgroup of its bound'
complete -c tidegate -n '__fish_seen_subcommand_from run' -l force -d 'publish what was rejected before'
complete -c tidegate -n '__fish_seen_subcommand_from trust' -l at -x -d 'for a past moment'
complete -c tidegate -n '__fish_seen_subcommand_from trust' -l verify -d 'read the bytes again'
complete -c tidegate -n '__fish_seen_subcommand_from trust' -l record -d 'open incidents, roll back by rule'
complete -c tidegate -n '__fish_seen_subcommand_from query' -l csv -d 'print CSV'
complete -c tidegate -n '__fish_seen_subcommand_from query' -l parquet -r -F -d 'write a file'
complete -c tidegate -n '__fish_seen_subcommand_from query' -l require -x -a trusted -d 'refuse otherwise'
complete -c tidegate -n '__fish_seen_subcommand_from query' -l rows -x -d 'how many are shown'
complete -c tidegate -n '__fish_seen_subcommand_from query' -l memory -x -d 'bound of the query'
complete -c tidegate -n '__fish_seen_subcommand_from runs events' -l most -x -d 'how many'
complete -c tidegate -n '__fish_seen_subcommand_from events' -l type -x -d 'only of these types'
complete -c tidegate -n '__fish_seen_subcommand_from events' -l of-output -x -a '(__tidegate_outputs)' -d 'of one output'
complete -c tidegate -n '__fish_seen_subcommand_from events' -l after -x -d 'only above this sequence'
complete -c tidegate -n '__fish_seen_subcommand_from gc' -l limit -x -d 'keep results up to this size'
complete -c tidegate -n '__fish_seen_subcommand_from gc' -l age -x -d 'drop older ones'
complete -c tidegate -n '__fish_seen_subcommand_from gc' -l dry-run -d 'only say what would go'
complete -c tidegate -n '__fish_seen_subcommand_from simulate' -l seeds -x -d 'one, or FIRST..LAST'
complete -c tidegate -n '__fish_seen_subcommand_from simulate' -l faults -x -a 'none workers hosts results disk crashes rivals clock checks all' -d 'what goes wrong'
complete -c tidegate -n '__fish_seen_subcommand_from simulate' -l workers -x -d 'simulated workers'
complete -c tidegate -n '__fish_seen_subcommand_from simulate' -l hosts -x -d 'hosts they are spread over'
complete -c tidegate -n '__fish_seen_subcommand_from simulate' -l trace -d 'print what happens'
complete -c tidegate -n '__fish_seen_subcommand_from incidents' -l all -d 'those that were repaired, too'
set -l settle list show release drop
complete -c tidegate -n "__fish_seen_subcommand_from quarantine; and not __fish_seen_subcommand_from $settle" -a "$settle"
complete -c tidegate -n '__fish_seen_subcommand_from quarantine; and __fish_seen_subcommand_from list' -F -l all -d 'what is settled, too'
complete -c tidegate -n '__fish_seen_subcommand_from quarantine; and __fish_seen_subcommand_from drop' -l why -x -d 'told in the journal'
complete -c tidegate -n '__fish_seen_subcommand_from audit' -l take-over -d 'the directory is ours now'
complete -c tidegate -n '__fish_seen_subcommand_from rollback' -l to -x -d 'the generation'
complete -c tidegate -n '__fish_seen_subcommand_from trust rollback audit path explain' -a '(__tidegate_outputs)'

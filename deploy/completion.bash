# Completion of options in bash, once everything is installed:  source deploy/completion.bash
# (zsh: autoload -U bashcompinit && bashcompinit before)
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
if [ -x "$here/.venv/bin/register-python-argcomplete" ]; then
    eval "$("$here/.venv/bin/register-python-argcomplete" --shell bash start.sh stop.sh monitor.py bulk_migrate_calibre.py)"
else
    echo "run ./start.sh once first: nothing is installed yet" >&2
fi
unset here

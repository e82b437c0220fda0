#!/bin/sh
# A task of the fault suite's workload: leaves one line in a file of its own, then does what $1 says.
# EFFECTS (a folder) comes from the job's params.
me=$AIR_EXECUTOR_TASK
here=$0
echo "begin $me $AIR_EXECUTOR_ATTEMPT"
printf '%s\n' "$AIR_EXECUTOR_ATTEMPT" >> "$EFFECTS/$me"
what=$1
shift
case $what in
ok) ;;
sleep) sleep "$1" ;;
wait) until [ -e "$1" ]; do sleep 0.02; done ;;
print) seq "$1" ;;
exit) exit "$1" ;;
flaky) # fails until attempt $1, with code $2
    [ "$AIR_EXECUTOR_ATTEMPT" -ge "$1" ] || exit "$2" ;;
die) kill -KILL $$ ;;
printf) # queues $1 tasks, the later ones at the last moment
    n=0
    while [ "$n" -lt "$1" ]; do
        printf '\n{"id":"%s-p%d","command":"/bin/sh","args":["%s","ok"]}\n' "$me" "$n" "$here" \
            >> "$AIR_EXECUTOR_INBOX"
        printf '\n{"command":"/bin/sh","args":["%s","ok","%s-q%d"]}\n' "$here" "$me" "$n" >> "$AIR_EXECUTOR_INBOX"
        n=$((n + 1))
    done ;;
python | raw) # queues $1 tasks by way of $2 (an interpreter)
    exec "$2" -S "${here%/*}/growing.py" "$what" "$1" "$here" "$me" ;;
esac
echo "end $me $AIR_EXECUTOR_ATTEMPT"

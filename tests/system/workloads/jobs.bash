# Jobs in the background by bash's own means: arrays of them and their statuses, process substitution, a FIFO that one waits at, one that is killed.
declare -A sums
for i in 1 2 3 4 5 6; do
    echo "step $i"
    pids=() statuses=()
    for j in 3 1 2; do
        { sleep 0.0$j; seq 1 $((i * j * 10)) | sort -rn | md5sum > /tmp/bash.$j; exit $((i + j)); } &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; statuses+=($?); done
    echo "statuses ${statuses[*]}"
    read -r sum _ < /tmp/bash.$((i % 3 + 1))
    sums[$i]=${sum:0:8}
    paste -d: <(seq 1 $i) <(seq $i -1 1) | tail -n 1
    rm -f /tmp/fifo; mkfifo /tmp/fifo
    cat /tmp/fifo > /tmp/through &
    echo "through the FIFO $i" > /tmp/fifo
    wait $!; cat /tmp/through
    sleep 100 &
    kill -TERM $!; { wait $!; } 2> /dev/null; echo "killed $?"
done
for i in "${!sums[@]}"; do echo "$i ${sums[$i]}"; done | sort

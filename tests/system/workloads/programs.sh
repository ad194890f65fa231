# Programs each of which puts out the same whenever it runs: programs.sh pipes|table|jobs|bash|sqlite. `step N` marks moments.
pipes() { # pipes and subshells
    for i in 1 2 3 4 5 6; do
        echo "step $i"
        (echo "sub $i"; seq 1 $((i * 20))) | sort -rn | head -n 3 | sed 's/sub/SUB/'
        seq 1 50 | tac | md5sum
    done
}
table() { # a table in a file, grown row by row, then sorted and summed up
    rm -f /tmp/table; n=0
    for i in 1 2 3 4 5 6; do
        echo "step $i"
        while [ $n -lt $((i * 15)) ]; do echo "$n|$((n * n % 97))|row $n" >> /tmp/table; n=$((n + 1)); done
        sort -t'|' -k2n -k1n < /tmp/table | head -n 2
    done
    md5sum < /tmp/table; awk -F'|' '{ s += $2 } END { print s }' /tmp/table
}
jobs_() { # jobs in the background that are waited for; what they wrote is put out afterwards: who is first is the clock's business
    for i in 1 2 3 4 5 6; do
        echo "step $i"
        for j in 3 1 2; do (sleep 0.0$j; seq 1 $j | md5sum > /tmp/job.$j) & done
        wait
        cat /tmp/job.1 /tmp/job.2 /tmp/job.3
    done
}
sqlite() { # 1,000 inserts, each a transaction
    rm -f /tmp/db
    awk 'BEGIN {
        print "create table t(a integer primary key, b integer, c text);"
        for (i = 1; i <= 6; i++) {
            print ".print step " i
            for (; n < i * 1000 / 6; n++) print "insert into t(b, c) values(" n * n % 97 ", \047row " n "\047);"
            print "select count(*), sum(b) from t;"
        }
        print "select b, count(*), max(c) from t group by b order by 2 desc, 1 limit 3; pragma integrity_check;"
    }' > /tmp/inserts
    sqlite3 /tmp/db < /tmp/inserts
}
case $1 in
pipes) pipes ;;
table) table ;;
jobs) jobs_ ;;
bash) exec bash-static jobs.bash ;;
sqlite) sqlite ;;
esac

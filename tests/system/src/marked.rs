//! A program that waits at two marks, for faults and orders to come there.

/// Pipes, subshells, background jobs. At each MARK comes a fault or an order; then the program waits for a line: behind " done" all calls are the shell's. It ends with status 5.
pub const SCRIPT: &str = r#"
stty -echo
mkdir /tmp/w; cd /tmp/w
work() {
    for i in 1 2 3 4; do
        (echo "$1 sub $i"; echo "line $i" >> log) | sed 's/sub/SUB/'
        seq 1 $((i * 30)) | sort -rn | head -n 2 > out.$i &
        cat < log | wc -l
    done
    wait
    cat out.*
    echo "$1 done"
}
work one
echo MARK 1
work two
read line < /dev/tty
echo "MARK 2 $line"
work three
read line < /dev/tty
md5sum log out.*
echo "$line"
exit 5
"#;

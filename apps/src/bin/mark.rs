//! `mark`: a place in a script at which a QEMU plugin counts (`tests/guests/plugin/marks.c`).

fn main() {
    apps::mark();
}

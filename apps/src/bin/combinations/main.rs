//! `combinations [NAME]`: asks each system call (or the one of that name) with all combinations of chosen arguments: descriptors of each kind,
//! pointers good and bad, names that lead to something or not, edges of numbers. For all that precede the last argument a line with the answers to
//! each value of the last: the result in hexadecimal, or the name of its errno, and behind a slash a sum of what was written to the buffer. A real
//! Linux prints the same: what the contract fixes otherwise is not asked (docs/differential.md says what).
//!
//! Each table of combinations begins with the same files and descriptors, so one call alone prints what it prints among the others.

mod ask;
mod control;
mod files;
mod names;
mod places;
mod processes;
mod removed;
mod waits;

use ask::Asker;

fn main() -> std::io::Result<()> {
    let mut asker = Asker::new(std::env::args().nth(1));
    places::fill();
    let parts = [files::ask, control::ask, waits::ask, processes::ask, names::ask, removed::ask];
    parts.iter().for_each(|part| part(&mut asker));
    std::env::set_current_dir("/")?;
    std::fs::remove_dir_all(places::HOME)?;
    asker.end()
}

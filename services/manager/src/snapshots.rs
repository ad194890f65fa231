//! Snapshots in words: which was agreed, by whom, and who begins with it.

use crate::line::Short;
use crate::report::Names;
use crate::{Board, Manager, Out};
use abi::vote::Progress;

/// What it means when there is no snapshot.
const INSTEAD: &str = "who is begun anew takes an older one, or follows the log from its beginning";

impl Manager {
    /// Takes what f + 1 replicas say of snapshots.
    pub(crate) fn on_snapshot(&mut self, progress: &Progress, board: &mut impl Board) {
        match *progress {
            Progress::Snapshot { s, root, bytes: 0, by } => self.say(
                board,
                format_args!(
                    "snapshot: sync point {s}, root {}, by {}: no channel holds it whole; {INSTEAD}",
                    Short(&root),
                    Names(self, by)
                ),
            ),
            Progress::Snapshot { s, root, bytes, by } => self.say(
                board,
                format_args!(
                    "snapshot: sync point {s}, root {}, {} KiB, by {}",
                    Short(&root),
                    bytes.div_ceil(1024),
                    Names(self, by)
                ),
            ),
            Progress::NoSnapshot { s } => self
                .say(board, format_args!("snapshot: sync point {s}: no two kernels say the same; {INSTEAD}")),
            Progress::FalseSnapshot { voter, s } => {
                let name = self.name(voter);
                self.say(
                    board,
                    format_args!("verdict: {name} false snapshot: what it wrote of sync point {s} has not the root that it voted for"),
                );
                self.lost(voter, Out::FalseSnapshot(s), board);
            }
            Progress::SnapshotMissing { voter, s } => {
                let name = self.name(voter);
                self.say(
                    board,
                    format_args!(
                        "progress: {name} has told of no snapshot of sync point {s}, as others have"
                    ),
                );
            }
            Progress::Begun { voter, s: 0 } => {
                let name = self.name(voter);
                self.say(board, format_args!("return: {name} follows the log from its beginning"));
            }
            Progress::Begun { voter, s } => {
                let name = self.name(voter);
                self.say(board, format_args!("return: {name} begins with the snapshot of sync point {s}"));
            }
            _ => {}
        }
    }
}

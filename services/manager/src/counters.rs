//! What a kernel counts of itself (`abi::monitor`): claims, shown and never used.

use crate::history::Quoted;
use crate::{Board, Manager};
use abi::monitor::{COUNTERS, kind_name};

impl Manager {
    /// What kernel `target` counts, then its calls by kind in the order of their numbers: a line each, or a JSON object.
    pub(crate) fn counters(&self, target: &str, json: bool, board: &mut impl Board) {
        let Some(domain) = self.kernel(target, board) else { return };
        let Some(monitor) = board.monitor(domain) else {
            return self.say(board, format_args!("{} tells nothing of itself (yet)", self.name(domain)));
        };
        let [calls, syncs, _] = monitor.progress();
        let own = COUNTERS.into_iter().enumerate().map(|(i, name)| (name, monitor.counter(i)));
        for (what, count) in [("calls in turns", calls), ("sync points", syncs)].into_iter().chain(own) {
            self.counted(domain, "counter", what, count, json, board);
        }
        for (number, count) in monitor.kinds() {
            self.counted(domain, "call", kind_name(number), count, json, board);
        }
    }

    fn counted(&self, domain: u32, kind: &str, what: &str, count: u64, json: bool, board: &mut impl Board) {
        let name = Quoted(self.name(domain).as_bytes());
        if json {
            let object =
                format_args!(r#"{{"kind":"{kind}","domain":{name},"name":"{what}","count":{count}}}"#);
            self.say(board, object);
        } else {
            self.say(board, format_args!("{kind:<8} {what:<20} {count:>10}"));
        }
    }
}

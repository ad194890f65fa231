//! What the replicas say, and what of it is believed: that on which f + 1 agree.

use abi::bootinfo::{BootInfo, name_str};
use abi::log::{REPLICAS, VOUCHERS};
use abi::vote::Progress;
use ipc::{BroadcastReader, Receive, ReceiveError};

/// So many records are taken of one ring before the others have their turn.
const BUDGET: usize = 64;

/// Who votes, and how many equal votes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voters {
    /// Counts the changes.
    pub epoch: u64,
    /// A bit a domain.
    pub set: u64,
    /// Equal votes that decide.
    pub quorum: u32,
}

/// The rings `progress-` of the replicas, and the newest agreed words in them.
pub struct Replicas {
    rings: [Option<BroadcastReader<'static>>; REPLICAS],
    ordered: [u64; REPLICAS],
    voters: [Option<Voters>; REPLICAS],
}

impl Replicas {
    /// Looks them up.
    pub fn open(boot: &'static BootInfo) -> Self {
        let mut rings = [const { None }; REPLICAS];
        let mut slots = rings.iter_mut();
        for info in boot.read_channels("progress-") {
            match slots.next() {
                Some(slot) => *slot = Some(crate::reader(boot, name_str(&info.name))),
                None => panic!("the manifest gives this service more than {REPLICAS} channels `progress-`"),
            }
        }
        Replicas { rings, ordered: [0; REPLICAS], voters: [None; REPLICAS] }
    }

    /// Takes what has arrived; `hear` gets each word with its speaker's number. `true`: there may be more.
    pub fn take(&mut self, mut hear: impl FnMut(usize, &Progress)) -> bool {
        let mut more = false;
        let slots = self.rings.iter_mut().zip(&mut self.ordered).zip(&mut self.voters);
        for (i, ((ring, ordered), voters)) in slots.enumerate() {
            let Some(ring) = ring else { continue };
            let mut taken = 0;
            while taken < BUDGET {
                taken += 1;
                match ring.receive::<Progress>(&mut [0; 64]) {
                    Ok(None) => break,
                    Ok(Some(Progress::Ordered { input })) => *ordered = input,
                    Ok(Some(Progress::Voters { epoch, set, quorum })) => {
                        *voters = Some(Voters { epoch, set, quorum });
                        hear(i, &Progress::Voters { epoch, set, quorum });
                    }
                    Ok(Some(other)) => hear(i, &other),
                    Err(ReceiveError::Malformed) => {}
                    Err(ReceiveError::Ring(_)) => ring.skip_to_head(),
                }
            }
            more |= taken == BUDGET;
        }
        more
    }

    /// So many input records are ordered, f + 1 replicas say.
    pub fn ordered(&self) -> u64 {
        let mut all = self.ordered;
        all.sort_unstable();
        all.into_iter().rev().nth(VOUCHERS - 1).unwrap_or(0)
    }

    /// The newest voters that f + 1 replicas name.
    pub fn voters(&self) -> Option<Voters> {
        let said = self.voters.iter().flatten();
        let vouched = said.clone().filter(|v| said.clone().filter(|w| w == v).count() >= VOUCHERS);
        vouched.max_by_key(|v| v.epoch).copied()
    }
}

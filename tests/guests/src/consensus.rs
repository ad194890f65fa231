//! What agreement costs, in instructions: four replicas in one service on one core, under `-icount shift=0`.
//!
//! What the counter shows of an instance is the sum over the four, with one copy of each message into a queue and one out of it; EL2 and doorbells are
//! not in it (`rings.rs` measures those).
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use consensus::ReplicaId;
    use consensus::auth::{Authenticator, Members, Secret, Vector};
    use consensus::replica::{Channel, Config, Note, Output, Replica};
    use consensus::requests::Requests;
    use core::hint::black_box;
    use runtime::abi::bootinfo::BootInfo;
    use runtime::{calls, say};

    /// Bytes of the longest message: a view change of a window of 64.
    const RECORD: usize = 6656;
    const QUEUE: usize = 64;
    type Node = Replica<Vector, Requests<1, 128, 16384>, 64, RECORD>;
    const REQUEST: [u8; 64] = [7; 64];

    struct Queue {
        records: [[u8; RECORD]; QUEUE],
        lengths: [usize; QUEUE],
        senders: [ReplicaId; QUEUE],
        first: usize,
        next: usize,
        sender: ReplicaId,
        delivered: u64,
    }

    impl Output for Queue {
        fn broadcast(&mut self, record: &[u8]) {
            let at = self.next % QUEUE;
            self.records[at][..record.len()].copy_from_slice(record);
            (self.lengths[at], self.senders[at]) = (record.len(), self.sender);
            self.next += 1;
            assert!(self.next - self.first <= QUEUE);
        }
        fn send(&mut self, _: ReplicaId, record: &[u8]) {
            self.broadcast(record);
        }
        fn deliver(&mut self, _: u64, _: Channel, record: &[u8]) {
            black_box(record);
            self.delivered += 1;
        }
        fn note(&mut self, note: Note) {
            assert!(matches!(note, Note::Stable { .. }));
        }
    }

    /// `burst` requests come at once; all four replicas execute them.
    fn instance(
        nodes: &mut [Node; 4],
        queue: &mut Queue,
        copy: &mut [u8; RECORD],
        number: &mut u64,
        burst: u64,
    ) {
        for (id, node) in nodes.iter_mut().enumerate() {
            for k in 1..=burst {
                assert!(node.application().push(0, *number + k, &REQUEST, 0).is_ok());
            }
            queue.sender = id as ReplicaId;
            node.poll(1, queue);
        }
        *number += burst;
        while queue.first < queue.next {
            let at = queue.first % QUEUE;
            let (from, length) = (queue.senders[at], queue.lengths[at]);
            // A reader copies a record out of its ring before it looks at it; once for all three here.
            copy[..length].copy_from_slice(&queue.records[at][..length]);
            queue.first += 1;
            for (id, node) in nodes.iter_mut().enumerate() {
                if id != usize::from(from) {
                    queue.sender = id as ReplicaId;
                    node.on_message(from, &copy[..length], 1, queue);
                }
            }
        }
        assert_eq!(queue.delivered, 4 * *number);
    }

    /// This target's digests against the crate's, and a vector that the host compares with its own.
    fn authenticators(members: &Members) {
        const LONGEST: usize = 5200;
        let text: [u8; LONGEST] = core::array::from_fn(|i| (i * i % 251) as u8);
        for length in (0..=LONGEST).step_by(13) {
            let text = &text[..length];
            assert!(Vector::digest(text) == *blake3::hash(text).as_bytes(), "digest of {length} bytes");
        }
        let trailer = Vector::new(0, Secret::new(&[1; 32]), 0, members).seal(&[7; 64]);
        trailer.chunks(16).for_each(|tag| say!("sealed {tag:?}"));
    }

    fn measure(nodes: &mut [Node; 4], queue: &mut Queue, number: &mut u64, burst: u64, hz: u64) -> u64 {
        let mut copy = [0; RECORD];
        // Whole checkpoint intervals, so that each instance bears its share of them.
        const INSTANCES: u64 = 256;
        let start = calls::now();
        for _ in 0..INSTANCES {
            instance(nodes, queue, &mut copy, number, burst);
        }
        (calls::now() - start) * (1_000_000_000 / hz) / INSTANCES
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        if boot.domain != 0 {
            loop {
                calls::wait(u64::MAX);
            }
        }
        let members: Members = [1, 2, 3, 4].map(|s| Secret::new(&[s; 32]).identity());
        authenticators(&members);
        let node = |id: usize| {
            let quiet =
                Config { timeout: u64::MAX / 4096, status_every: u64::MAX / 4, ..Config::new(id as u8) };
            let keys = Vector::new(id as u8, Secret::new(&[id as u8 + 1; 32]), 0, &members);
            Node::new(quiet, keys, &members, Requests::default())
        };
        let mut nodes = [node(0), node(1), node(2), node(3)];
        let mut queue = Queue {
            records: [[0; RECORD]; QUEUE],
            lengths: [0; QUEUE],
            senders: [0; QUEUE],
            first: 0,
            next: 0,
            sender: 0,
            delivered: 0,
        };
        let mut number = 0;
        for _ in 0..64 {
            instance(&mut nodes, &mut queue, &mut [0; RECORD], &mut number, 1);
        }
        let alone = measure(&mut nodes, &mut queue, &mut number, 1, boot.counter_hz);
        let batch = measure(&mut nodes, &mut queue, &mut number, 64, boot.counter_hz);
        say!("consensus_instructions_per_instance {alone}");
        say!("consensus_instructions_per_batch_64 {batch}");
        let _ = calls::power_off();
        loop {
            calls::wait(u64::MAX);
        }
    }
}

//! Threads that do what programs use them for: a counter under a lock, a queue with several workers, a barrier, a wait with a timeout, one that
//! ends alone, a process started by a thread. What is printed does not depend on who came first; `order` prints who came when instead.
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn counter() -> u32 {
    let n = Arc::new(Mutex::new(0));
    let all: Vec<_> = (0..4)
        .map(|_| {
            let n = n.clone();
            thread::spawn(move || (0..200).for_each(|_| *n.lock().unwrap() += 1))
        })
        .collect();
    all.into_iter().for_each(|t| t.join().unwrap());
    *n.lock().unwrap()
}

fn queue() -> u64 {
    let (to, from) = mpsc::channel::<u64>();
    let (results, sum) = mpsc::channel();
    let from = Arc::new(Mutex::new(from));
    for _ in 0..3 {
        let (from, results) = (from.clone(), results.clone());
        thread::spawn(move || {
            while let Ok(n) = { from.lock().unwrap().recv() } {
                results.send(n * n).unwrap();
            }
        });
    }
    drop(results);
    (1..=50).for_each(|n| to.send(n).unwrap());
    drop(to);
    sum.iter().sum()
}

fn barrier() -> u32 {
    let (barrier, leaders) = (Arc::new(Barrier::new(3)), Arc::new(AtomicU32::new(0)));
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                for _ in 0..5 {
                    if barrier.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    leaders.load(Ordering::Relaxed)
}

fn timeout() -> bool {
    let (lock, never) = (Mutex::new(()), Condvar::new());
    let start = Instant::now();
    let result = never.wait_timeout(lock.lock().unwrap(), Duration::from_millis(20)).unwrap().1;
    result.timed_out() && start.elapsed() >= Duration::from_millis(20)
}

fn order() {
    let all: Vec<_> = (0..4u32)
        .map(|who| {
            thread::spawn(move || {
                for i in 0..20u32 {
                    // Unequal work between the writes: the kernels' schedulers see different moments.
                    let mut x = i;
                    for _ in 0..(who * 5 + i % 7) * 1000 {
                        x = std::hint::black_box(x.wrapping_mul(1664525).wrapping_add(1013904223));
                    }
                    println!("{who} {i} {x}");
                }
            })
        })
        .collect();
    all.into_iter().for_each(|t| t.join().unwrap());
}

fn main() {
    if std::env::args().nth(1).is_some() {
        return order();
    }
    println!("counter {} queue {} barrier {} timeout {}", counter(), queue(), barrier(), timeout());
    let child = thread::spawn(|| {
        let output = std::process::Command::new("/bin/echo").arg("from a child").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    print!("{}", child.join().unwrap());
    let failed = thread::Builder::new().name("other".into()).spawn(|| {
        thread::sleep(Duration::from_millis(5));
        std::process::exit(9)
    });
    let _ = failed.unwrap().join();
}

//! A recorded session, run again on one kernel, gives the same bytes.

use std::time::Duration;
use system_tests::{Finished, Options, Session, images, run};
use xtask::session::replay;

fn assert_replays(f: &Finished) {
    for kernel in xtask::kernels::KERNELS {
        let options =
            Options { kernel: Some(kernel.into()), replay: Some(f.record.log.clone()), ..Options::default() };
        let again =
            replay(images(), &options, f.record.output.len(), Duration::from_secs(300)).unwrap().output;
        assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&f.record.output), "{kernel}");
        assert!(!again.is_empty());
    }
}

#[test]
fn a_script_replays() {
    assert_replays(&run("for i in 1 2 3 4; do (sleep 0.0$i; echo $i; date +%N) & done; wait; head -c 16 /dev/urandom | md5sum; echo $$", Options::default()).unwrap());
}

#[test]
fn a_typed_session_with_an_interrupt_replays() {
    let mut s = Session::shell(&Options::default()).unwrap();
    s.command("echo one | cat").unwrap();
    s.send("/usr/bin/spin\r").unwrap();
    s.expect("spinning").unwrap();
    s.run_for(Duration::from_millis(500));
    s.send("\x03").unwrap();
    s.expect(system_tests::PROMPT).unwrap();
    s.command("echo two").unwrap();
    // The replay knows this skip beforehand, too.
    s.send("/bin/ash -c 'while :; do :; done'\r").unwrap();
    s.expect("\r\n").unwrap();
    s.run_for(Duration::from_millis(700));
    s.send("\x03").unwrap();
    s.expect(system_tests::PROMPT).unwrap();
    s.command("echo three").unwrap();
    assert_replays(&s.stop().unwrap());
}

//! Debian's packages and the user's own files in the root image (R21, R28).

use system_tests::{Options, run};

/// A path in the tests' own directory.
fn own(name: &str, text: &[u8]) -> std::path::PathBuf {
    let dir = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(dir.join(name), text).unwrap();
    dir.join(name)
}

#[test]
fn packages_come_with_what_they_need_and_all_kernels_read_them() {
    let packages = ["gawk", "lua5.4"].map(str::to_owned).into();
    // Sums over all of it, read by each kernel in its own way; links of the alternatives; a library that only a dependency has.
    let script = "readlink /usr/bin/awk; readlink /usr/bin/lua; ls /lib/aarch64-linux-gnu/libreadline.so.8 /bin/gawk; \
                  find / -xdev -type f ! -path '/proc/*' | wc -l; cat /usr/lib/aarch64-linux-gnu/libc.so.6 | md5sum";
    let kernels = xtask::kernels::KERNELS.map(str::to_owned).into();
    let f = run(script, Options { packages, kernels, ..Options::default() }).unwrap();
    assert_eq!(f.status, Some(0), "{:?}", f.operator);
    let lines: Vec<&str> = f.console.lines().collect();
    assert_eq!(lines[..2], ["/usr/bin/gawk", "/usr/bin/lua5.4"], "{lines:?}");
    assert_eq!(lines[2..4], ["/bin/gawk", "/lib/aarch64-linux-gnu/libreadline.so.8"], "{lines:?}");
    assert!(lines[4].parse::<u32>().unwrap() > 300, "{lines:?}");
    let libc = xtask::build::Tools::find().unwrap().target.join("debian/closure/libc6/files");
    let libc = xtask::build::find_file(&libc, "libc.so.6").unwrap();
    let sum = std::process::Command::new("md5sum").arg(libc).output().unwrap();
    assert_eq!(lines[5].as_bytes()[..32], sum.stdout[..32]);
    assert!(f.accusations().is_empty(), "{:?}", f.accusations());
}

#[test]
fn a_program_of_the_host_and_its_files_run() {
    let tools = xtask::build::Tools::find().unwrap();
    let spin = xtask::build::app(&tools, "twowriters");
    system_tests::images();
    let data = own("data.txt", b"one\ntwo\n");
    let files = vec![data, own("script.sh", b"cat data.txt; pwd; exit $1\n")];
    let f = run("ash script.sh 4", Options { files, ..Options::default() }).unwrap();
    assert_eq!((f.status, f.console.as_str()), (Some(4), "one\r\ntwo\r\n/root\r\n"));
    let f = run(&format!("{} | wc -c; ls /root", spin.display()), Options::default()).unwrap();
    assert_eq!(f.status, Some(0), "{:?}", f.operator);
    assert!(f.console.ends_with("twowriters\r\n"), "{}", f.console);
}

#[test]
fn what_cannot_be_run_or_found_is_told_before_the_machine_starts() {
    let refused =
        |command: &str, options: Options| format!("{:#}", run(command, options).err().expect("refused"));
    let text = refused("/proc/self/exe", Options::default());
    assert!(text.contains("is for x86-64") || cfg!(not(target_arch = "x86_64")), "{text}");
    assert!(refused("./nothing", Options::default()).contains("./nothing on this machine"));
    let packages = vec!["no-such-package-here".to_owned()];
    let text = refused("true", Options { packages, ..Options::default() });
    assert!(text.contains("cannot fetch no-such-package-here"), "{text}");
    let large = own("large", &vec![1; 130 << 20]);
    let text = refused("true", Options { files: vec![large.clone()], ..Options::default() });
    assert!(text.contains("there is room for 128"), "{text}");
    std::fs::remove_file(large).unwrap();
}

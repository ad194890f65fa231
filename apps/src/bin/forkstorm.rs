//! `forkstorm N`: forks until the limit says no, N rounds; every child writes its pid into one pipe. Prints what came through.
use std::io::Write;

fn main() {
    let rounds: u32 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(3);
    for round in 0..rounds {
        let mut fds = [0; 2];
        // SAFETY: (1) `fds` has room for two descriptors.
        assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
        let mut children = Vec::new();
        let error = loop {
            // SAFETY: (1) the program has one thread, so the child may go on with everything it has.
            match unsafe { libc::fork() } {
                -1 => break std::io::Error::last_os_error(),
                0 => child(fds),
                pid => children.push(pid),
            }
        };
        // SAFETY: (1) both descriptors are this process' own.
        let text = unsafe { libc::close(fds[1]); drain(fds[0]) };
        let mut sum = 0u64;
        for pid in &children {
            let mut status = 0;
            // SAFETY: (1) `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(*pid, &mut status, 0) }, *pid);
            sum += u64::from(libc::WIFEXITED(status));
        }
        println!("round {round}: {} children, {sum} exited, {} lines, last error {error}", children.len(), text.lines().count());
        print!("{text}");
        std::io::stdout().flush().unwrap();
    }
}

fn child(fds: [i32; 2]) -> ! {
    let line = format!("child {}\n", std::process::id());
    // SAFETY: (1) the buffer outlives the call; (2) _exit ends this process, whose stdio buffers belong to the parent.
    unsafe {
        libc::write(fds[1], line.as_ptr().cast(), line.len());
        libc::_exit(0)
    }
}

/// # Safety
/// `fd` must be the caller's.
unsafe fn drain(fd: i32) -> String {
    let mut text = Vec::new();
    let mut buffer = [0u8; 512];
    loop {
        // SAFETY: (1) the buffer outlives the call; (2) the caller owns `fd`.
        let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        if n <= 0 {
            // SAFETY: (1) the caller owns `fd`.
            unsafe { libc::close(fd) };
            return String::from_utf8_lossy(&text).into_owned();
        }
        text.extend_from_slice(&buffer[..n as usize]);
    }
}

//! Terminal modes, as Linux' `struct termios` holds them.

use linux_raw_sys::general as c;

/// Bytes of `struct termios` on arm64 (asm-generic): four words of flags, the line discipline, 19 control characters.
pub const TERMIOS_SIZE: usize = 36;
const CONTROLS: usize = 19;

/// Modes of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Input flags.
    pub input: u32,
    /// Output flags.
    pub output: u32,
    /// Local flags.
    pub local: u32,
    controls: [u8; CONTROLS],
}

impl Modes {
    /// What Linux starts a terminal with (`tty_std_termios`).
    pub fn standard() -> Self {
        let control = |b: u8| b & 0x1f;
        let mut controls = [0; CONTROLS];
        let standard = [
            (c::VINTR, control(b'C')),
            (c::VQUIT, control(b'\\')),
            (c::VERASE, 0x7f),
            (c::VKILL, control(b'U')),
            (c::VEOF, control(b'D')),
            (c::VMIN, 1),
            (c::VSTART, control(b'Q')),
            (c::VSTOP, control(b'S')),
            (c::VSUSP, control(b'Z')),
            (c::VREPRINT, control(b'R')),
            (c::VDISCARD, control(b'O')),
            (c::VWERASE, control(b'W')),
            (c::VLNEXT, control(b'V')),
        ];
        for (index, byte) in standard {
            if let Some(slot) = controls.get_mut(index as usize) {
                *slot = byte;
            }
        }
        let local = c::ISIG | c::ICANON | c::ECHO | c::ECHOE | c::ECHOK | c::ECHOCTL | c::ECHOKE | c::IEXTEN;
        Modes { input: c::ICRNL | c::IXON, output: c::OPOST | c::ONLCR, local, controls }
    }

    /// Reads a `struct termios`; `None` when it has another size.
    pub fn parse(termios: &[u8]) -> Option<Self> {
        let termios: &[u8; TERMIOS_SIZE] = termios.try_into().ok()?;
        let (words, rest) = termios.as_chunks::<4>();
        let [input, output, _control, local, ..] = words else { return None };
        let mut controls = [0; CONTROLS];
        // One byte names the line discipline; the words end with it and the first three control characters.
        let bytes = words.iter().skip(4).flatten().chain(rest).skip(1);
        for (to, from) in controls.iter_mut().zip(bytes) {
            *to = *from;
        }
        let [input, output, local] = [input, output, local].map(|w| u32::from_le_bytes(*w));
        Some(Modes { input, output, local, controls })
    }

    /// Whether local flag `flag` is set.
    pub fn has(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    /// Whether input flag `flag` is set.
    pub fn takes(&self, flag: u32) -> bool {
        self.input & flag != 0
    }

    /// Whether `byte` is control character number `index`; zero disables one.
    pub fn is(&self, byte: u8, index: u32) -> bool {
        byte != 0 && self.controls.get(index as usize) == Some(&byte)
    }
}

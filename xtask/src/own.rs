//! The user's own files in the root image: `FILES`, and a program of the host's that `RUN` begins with. All of them stand in `/root`.

use crate::cpio::Tree;
use crate::root::{add, place};
use anyhow::{Context, Result, bail, ensure};
use elf::{ElfBytes, abi as e, endian::AnyEndian, file::Class};
use std::path::{Path, PathBuf};

/// Adds `files` (files and directories of the host) as `/root/NAME`, and the host's program that `command` begins with, if it does. The command
/// line to run in the image.
pub fn add_to(tree: &mut Tree, files: &[PathBuf], command: Option<&str>) -> Result<Option<String>> {
    for file in files {
        add_as_named(tree, file)?;
    }
    let Some(command) = command else { return Ok(None) };
    let word = command.split_whitespace().next().unwrap_or_default();
    let in_root = if files.is_empty() { "" } else { "cd /root; " };
    if !is_of_the_host(tree, word) {
        return Ok(Some(format!("{in_root}{command}")));
    }
    let name = add_as_named(tree, Path::new(word))?;
    let program = std::fs::read(word).with_context(|| word.to_owned())?;
    check(tree, word, &program)?;
    let rest = command.trim_start().strip_prefix(word).unwrap_or_default();
    Ok(Some(format!("cd /root; './{name}'{rest}")))
}

/// `./x` and `../x` are the host's: what is in the image has no place beside which it could stand. `/x` is the image's if it is there.
fn is_of_the_host(tree: &Tree, word: &str) -> bool {
    let relative = word.starts_with("./") || word.starts_with("../");
    relative || word.starts_with('/') && !tree.has(&place(word)) && Path::new(word).is_file()
}

fn add_as_named(tree: &mut Tree, file: &Path) -> Result<String> {
    let path = file.canonicalize().with_context(|| format!("{} on this machine", file.display()))?;
    let name =
        path.file_name().and_then(|n| n.to_str()).with_context(|| format!("{path:?} is no file name"))?;
    ensure!(!name.contains('\''), "{path:?}: a name without quotes, please");
    add(tree, &path, &format!("root/{name}"))?;
    Ok(name.to_owned())
}

/// Whether the kernels can run this program, with what the image has.
fn check(tree: &Tree, name: &str, program: &[u8]) -> Result<()> {
    let interpreter = match program {
        [b'#', b'!', line @ ..] => {
            let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
            String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
        }
        [0x7f, b'E', b'L', b'F', ..] => elf_interpreter(name, program)?,
        _ => bail!("{name} is neither an ELF file nor a script that begins with #!"),
    };
    if let Some(path) = interpreter.filter(|i| !tree.has(&place(i))) {
        let advice = match path.as_str() {
            "/lib/ld-linux-aarch64.so.1" => "; add PACKAGES=libc6 and the packages of its other libraries",
            _ => "; add the package that has it to PACKAGES",
        };
        bail!("{name} needs {path}, which the root image does not have{advice}");
    }
    Ok(())
}

/// The machines that one is likely to have programs of.
fn machine(e_machine: u16) -> &'static str {
    match e_machine {
        e::EM_X86_64 => "x86-64",
        e::EM_386 => "32-bit x86",
        e::EM_ARM => "32-bit Arm",
        e::EM_RISCV => "RISC-V",
        e::EM_AARCH64 => "another kind of arm64 (ILP32 or big-endian)",
        _ => "another machine",
    }
}

/// The dynamic loader that an arm64 program asks for.
fn elf_interpreter(name: &str, program: &[u8]) -> Result<Option<String>> {
    let elf =
        ElfBytes::<AnyEndian>::minimal_parse(program).with_context(|| format!("{name}: damaged ELF file"))?;
    let is_arm64 =
        elf.ehdr.e_machine == e::EM_AARCH64 && elf.ehdr.class == Class::ELF64 && program[5] == e::ELFDATA2LSB;
    ensure!(
        is_arm64,
        "{name} is for {}; the kernels run arm64 Linux programs (a compiler for them: package gcc-aarch64-linux-gnu)",
        machine(elf.ehdr.e_machine)
    );
    ensure!(
        matches!(elf.ehdr.e_type, e::ET_EXEC | e::ET_DYN),
        "{name} is no program that can be run, but an object file or a core dump"
    );
    let segments = elf.segments().with_context(|| format!("{name}: no program headers"))?;
    let Some(header) = segments.iter().find(|p| p.p_type == e::PT_INTERP) else { return Ok(None) };
    let bytes = elf.segment_data(&header).with_context(|| format!("{name}: damaged ELF file"))?;
    Ok(Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio::Node;

    fn file(name: &str, data: &[u8]) -> String {
        let dir = std::env::temp_dir().join(format!("tetrarch-own-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), data).unwrap();
        dir.join(name).to_str().unwrap().to_owned()
    }

    /// An ELF file with one empty program header.
    fn elf(machine: u16, kind: u16) -> Vec<u8> {
        let mut out = vec![0; 64 + 56];
        out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        out[16..18].copy_from_slice(&kind.to_le_bytes());
        out[18..20].copy_from_slice(&machine.to_le_bytes());
        out[20] = 1;
        for (at, field) in [(32, 64u16), (52, 64), (54, 56), (56, 1)] {
            out[at..at + 2].copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.add("usr/bin/busybox", Node::File { data: vec![1], mode: 0o755 });
        tree
    }

    #[test]
    fn a_program_of_the_host_is_run_from_root() {
        let mut tree = tree();
        let mut run =
            |files: &[PathBuf], command: &str| add_to(&mut tree, files, Some(command)).unwrap().unwrap();
        let path = file("prog", &elf(e::EM_AARCH64, e::ET_EXEC));
        assert_eq!(run(&[], &format!("{path} -a | wc")), "cd /root; './prog' -a | wc");
        assert_eq!(run(&[], "/bin/busybox ls"), "/bin/busybox ls");
        assert_eq!(run(&[], "ls ./x"), "ls ./x");
        assert_eq!(run(&[path.into()], "ls"), "cd /root; ls");
        assert!(tree.has("root/prog"));
    }

    #[test]
    fn what_cannot_run_is_refused_with_the_reason() {
        let refused = |name: &str, data: &[u8]| {
            format!("{:#}", add_to(&mut tree(), &[], Some(&file(name, data))).unwrap_err())
        };
        assert!(refused("pc", &elf(e::EM_X86_64, e::ET_DYN)).contains("is for x86-64"));
        assert!(refused("object", &elf(e::EM_AARCH64, e::ET_REL)).contains("object file"));
        assert!(refused("short", b"\x7fELF").contains("damaged"));
        assert!(refused("text", b"hello").contains("neither an ELF"));
        assert!(refused("script", b"#!/usr/bin/python3\n").contains("needs /usr/bin/python3"));
        let missing = add_to(&mut tree(), &[], Some("./no-such-file")).unwrap_err();
        assert!(
            format!("{missing:#}").contains("./no-such-file on this machine: No such file"),
            "{missing:#}"
        );
    }
}

//! The open file descriptions and pipes of a snapshot.

use super::begin::Found;
use super::names::Texts;
use super::read::{LARGEST, Reader, Refused};
use crate::files::{Body, device, procfs};
use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::open::{Kind, Name, O_ACCMODE, O_PATH, O_RDWR, O_WRONLY, OpenFile};
use crate::pipe::Pipe;
use abi::snapshot::{self as record, Record};
use abi::turn::{OPEN_FILES_MAX, PIPE_CAPACITY, PIPES_MAX};
use alloc::vec::Vec;

/// What the link of a pipe that has no name begins with.
const NAMELESS: &[u8] = b"pipe:[";
const GONE: &str = "a pipe that is not there";

impl<H: Hardware> Kernel<H> {
    pub(super) fn read_open<'a>(&mut self, r: &mut Reader<'a>, found: &mut Found<'a>) -> Result<(), Refused> {
        while let Some(f) = r.take(|r| if let Record::OpenFile(f) = r { Some(f) } else { None })? {
            r.check(f.number as usize == found.open.len(), "files that are not numbered as they come")?;
            let refs = *found.refs.get(found.open.len()).ok_or(r.refuse("no descriptor leads here"))?;
            r.check(f.offset < LARGEST, "a position that is none")?;
            let mut text = Vec::new();
            while let Some(piece) = r.take(|r| if let Record::Text(b) = r { Some(b) } else { None })? {
                r.check(f.kind == 6, "a text of what has none")?;
                text.extend_from_slice(piece);
            }
            let nameless = f.path.starts_with(NAMELESS);
            let (kind, inode) = match f.kind {
                0 if u64::from(f.flags) & O_PATH != 0 && nameless => {
                    let pipe = self.pipe_of(r, (false, f.inode), found)?;
                    self.pipes.get_mut(pipe).ok_or(r.refuse(GONE))?.paths += 1;
                    (Kind::PipePath(pipe), 0)
                }
                0 if u64::from(f.flags) & O_PATH != 0 => (Kind::Path, f.inode),
                0 => (Kind::File, f.inode),
                1 => (Kind::Directory, f.inode),
                2 | 3 => (self.end_of(r, &f, nameless, found)?, if nameless { 0 } else { f.inode }),
                4 => (Kind::Terminal, f.inode),
                5 => (Kind::Device(0), f.inode),
                6 => (Kind::Text(text), f.inode),
                _ => return Err(r.refuse("a kind that is none")),
            };
            r.check(!f.before_writers || f.kind == 2, "only read ends wait for writers")?;
            let file = OpenFile {
                kind,
                inode,
                flags: f.flags.into(),
                offset: f.offset,
                refs,
                name: Name::Own,
                quiet_hangup: f.before_writers.then_some(FIRST),
            };
            let id = self.open.insert(file);
            found.open.push(id);
            found.paths.push(f.path);
        }
        r.check(found.open.len() == found.refs.len(), "descriptors that lead nowhere")?;
        for p in self.processes.values_mut() {
            for d in p.descriptors.iter_mut().flatten() {
                d.file = found.open.get(d.file as usize).copied().unwrap_or(d.file);
            }
        }
        Ok(())
    }

    /// An end of a pipe.
    fn end_of<'a>(
        &mut self,
        r: &Reader<'a>,
        f: &record::OpenFile<'a>,
        nameless: bool,
        found: &mut Found<'a>,
    ) -> Result<Kind, Refused> {
        let id = self.pipe_of(r, (!nameless, f.inode), found)?;
        let p = self.pipes.get_mut(id).ok_or(r.refuse(GONE))?;
        let access = u64::from(f.flags) & O_ACCMODE;
        let (reads, writes) = (access != O_WRONLY, access == O_WRONLY || access == O_RDWR);
        p.readers += u32::from(reads);
        p.writers += u32::from(writes);
        match (f.kind, access) {
            (2, 0) => Ok(Kind::PipeRead(id)),
            (3, O_WRONLY) => Ok(Kind::PipeWrite(id)),
            (3, O_RDWR) => Ok(Kind::PipeBoth(id)),
            _ => Err(r.refuse("an end whose flags say another")),
        }
    }

    /// The pipe with this key, made if this is the first that is heard of it.
    fn pipe_of(&mut self, r: &Reader<'_>, key: (bool, u64), found: &mut Found<'_>) -> Result<u32, Refused> {
        match found.pipes.get(&key) {
            Some(id) => Ok(*id),
            None => self.new_pipe(r, key, found),
        }
    }

    fn new_pipe(&mut self, r: &Reader<'_>, key: (bool, u64), found: &mut Found<'_>) -> Result<u32, Refused> {
        let (fifo, number) = key;
        r.check(found.pipes.len() < PIPES_MAX + OPEN_FILES_MAX, "more pipes than there can be")?;
        r.check(fifo || (1..self.pipe_numbers).contains(&number), "a pipe's number that was never given")?;
        let id = self.pipes.insert(Pipe {
            number: if fifo { 0 } else { number },
            fifo: fifo.then_some(number),
            readers_seen: FIRST,
            writers_seen: FIRST,
            ..Pipe::default()
        });
        found.pipes.insert(key, id);
        Ok(id)
    }

    pub(super) fn read_pipes<'a>(
        &mut self,
        r: &mut Reader<'a>,
        found: &mut Found<'a>,
    ) -> Result<(), Refused> {
        let (mut last, mut count) = ((false, 0), 0);
        while let Some(p) = r.take(|r| if let Record::Pipe(p) = r { Some(p) } else { None })? {
            let key = (p.fifo, p.number);
            r.check(key > last, "pipes that do not ascend")?;
            last = key;
            count += 1;
            r.check(p.made_us < LARGEST, "a moment that is none")?;
            let mut data = Vec::new();
            while let Some(piece) = r.take(|r| if let Record::PipeData(b) = r { Some(b) } else { None })? {
                data.extend_from_slice(piece);
                r.check(data.len() <= PIPE_CAPACITY, "more bytes than a pipe holds")?;
            }
            let id = match found.pipes.get(&key) {
                Some(id) => *id,
                // A blocked opener may hold it: `join_waits` looks.
                None if p.fifo => self.new_pipe(r, key, found)?,
                None => return Err(r.refuse("a pipe that nobody holds")),
            };
            if let Some(pipe) = self.pipes.get_mut(id) {
                pipe.data = data.into();
                pipe.made = p.made_us;
            }
        }
        r.check(count == found.pipes.len(), "an open pipe is not there")
    }

    /// What open file descriptions refer to, now that all files are there.
    pub(super) fn join_open<'a>(
        &mut self,
        r: &Reader<'_>,
        found: &Found<'a>,
        texts: &mut Texts<'a>,
    ) -> Result<(), Refused> {
        for ((fifo, number), id) in &found.pipes {
            if *fifo {
                let inode = self.files.inodes.get_mut(number);
                let Some(i) = inode.filter(|i| matches!(i.body, Body::Fifo(_))) else {
                    return Err(r.refuse("a FIFO that is none"));
                };
                i.body = Body::Fifo(Some(*id));
                i.held += 1;
            }
        }
        for (id, path) in found.open.iter().zip(&found.paths) {
            let Some(f) = self.open.get(*id) else { continue };
            let (inode, mut kind) = (f.inode, f.kind.clone());
            let right = match &mut kind {
                Kind::File => matches!(self.files.inode(inode).map(|i| &i.body), Ok(Body::File(_))),
                Kind::Directory => self.leads_to_directory(inode),
                Kind::Terminal => self.device(inode).is_some_and(device::is_terminal),
                Kind::Device(n) => {
                    *n = self.device(inode).unwrap_or(0);
                    device::known(*n) && !device::is_terminal(*n)
                }
                Kind::Text(_) => procfs::node(inode).is_some_and(|n| !n.is_directory() && !n.is_link()),
                Kind::PipeRead(_) | Kind::PipeWrite(_) | Kind::PipeBoth(_) => true,
                Kind::Path | Kind::PipePath(_) => true,
            };
            r.check(right, "an open file that is not of its kind")?;
            self.files.hold(inode);
            if let Some(f) = self.open.get_mut(*id) {
                f.kind = kind;
            }
            self.name_open(r, texts, *id, path)?;
        }
        Ok(())
    }

    fn device(&self, inode: u64) -> Option<u64> {
        match device::entry(inode) {
            Some(device::Entry::Device(number, _)) => Some(number),
            Some(device::Entry::Link(_)) => None,
            None => match self.files.inode(inode).ok()?.body {
                Body::Device(number) => Some(number),
                _ => None,
            },
        }
    }
}

/// How many ends were opened before a snapshot: what counts is only whether more come.
pub(super) const FIRST: u64 = 1;

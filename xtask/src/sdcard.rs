//! The SD card of a Raspberry Pi 4: an image with one FAT32 partition, made without root, byte by byte the same from the same parts.

use crate::build::{self, Tools};
use crate::machine::{BUNDLE, Images, KERNEL, Options};
use crate::raspberry_pi::STUB;
use crate::root;
use anyhow::{Context, Result, ensure};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::StreamSlice;
use mbrman::{BOOT_INACTIVE, CHS, MBR, MBRPartitionEntry};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Where the partition begins, bytes: what cards are aligned to.
const START: u64 = 4 << 20;
/// Bytes of the partition: room for a few more bundles, and FAT32 by its number of clusters.
const SIZE: u64 = 252 << 20;
/// FAT32 with logical block addressing.
const FAT32_LBA: u8 = 0x0c;
/// Of disk and volume. Fixed: the image's bytes depend on its contents alone.
const SERIAL: u32 = 0x7e72_a2c4;
/// The tree's name in the partition, as firmware looks for it.
pub const TREE: &str = "bcm2711-rpi-4-b.dtb";
/// Where firmware puts EL2,
pub const KERNEL_AT: u32 = 0x20_0000;
/// the tree (behind EL2, below the first partition),
pub const TREE_AT: u32 = 0x70_0000;
const TREE_END: u32 = 0x80_0000;
/// and the bundle.
pub const BUNDLE_AT: u64 = 0x0800_0000;

/// What firmware reads first (raspberrypi.com, config.txt). `init_uart_clock` is `board::SetUp::CLOCK_HZ`.
fn config() -> String {
    format!(
        "# Tetrarch on a Raspberry Pi 4. docs/raspberry-pi.md says what each line is for.\n\
         arm_64bit=1\nenable_gic=1\nkernel={KERNEL}\nkernel_address={KERNEL_AT:#x}\ndevice_tree={TREE}\n\
         device_tree_address={TREE_AT:#010x}\ndevice_tree_end={TREE_END:#010x}\ninitramfs {BUNDLE} {BUNDLE_AT:#010x}\n\
         enable_uart=1\nuart_2ndstage=1\ninit_uart_clock=48000000\ndisable_splash=1\nboot_delay=0\n"
    )
}

/// A file for the partition.
type Part = (&'static str, Vec<u8>);

/// What may differ from card to card.
#[derive(Clone, Debug, Default)]
pub struct Card {
    /// A directory with the firmware; none: Debian's package.
    pub firmware: Option<PathBuf>,
    /// An armstub in place of the firmware's own, e.g. Trusted Firmware's bl31.bin.
    pub armstub: Option<PathBuf>,
    /// Source that stands behind `raspberry-pi-4.dtsi`: changes to the manifest.
    pub manifest: String,
}

/// The files of a card, in the order in which they are written.
pub fn parts(tools: &Tools, images: &Images, card: &Card) -> Result<Vec<Part>> {
    let firmware = Firmware::find(tools, card.firmware.as_deref())?;
    let mut config = config();
    let mut parts = vec![
        ("start4.elf", firmware.read("start4.elf")?),
        ("fixup4.dat", firmware.read("fixup4.dat")?),
        ("LICENCE.broadcom", firmware.notice()?),
        (KERNEL, std::fs::read(images.kernel())?),
        (TREE, tree(tools, &firmware, &card.manifest)?),
        (BUNDLE, images.bundle(&Options::default())?),
    ];
    if let Some(stub) = &card.armstub {
        config.push_str(&format!("armstub={STUB}\n"));
        parts.push((STUB, std::fs::read(stub).with_context(|| stub.display().to_string())?));
    }
    parts.push(("config.txt", config.into_bytes()));
    Ok(parts)
}

/// Trusted Firmware for the Raspberry Pi 4, from Debian's package: an armstub with PSCI.
pub fn trusted_firmware(tools: &Tools) -> Result<PathBuf> {
    let package = root::package(tools, "arm-trusted-firmware", "*/rpi4/*", "")?;
    build::find_file(&package, "bl31.bin").context("Debian's arm-trusted-firmware has no rpi4/bl31.bin")
}

/// Writes `parts` as an image to `to`.
pub fn write(parts: &[Part], to: &Path) -> Result<()> {
    let total: u64 = parts.iter().map(|(_, b)| b.len() as u64).sum();
    ensure!(
        total < SIZE / 2,
        "{total} bytes are more than the card's partition has room for; enlarge sdcard::SIZE"
    );
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(to)?;
    file.set_len(START + SIZE)?;
    let mut table = MBR::new_from(&mut file, SECTOR as u32, SERIAL.to_le_bytes())?;
    table[1] = MBRPartitionEntry {
        boot: BOOT_INACTIVE,
        first_chs: CHS::empty(),
        sys: FAT32_LBA,
        last_chs: CHS::empty(),
        starting_lba: (START / SECTOR) as u32,
        sectors: (SIZE / SECTOR) as u32,
    };
    table.write_into(&mut file)?;
    let mut partition = StreamSlice::new(file, START, START + SIZE)?;
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(2048)
        .volume_id(SERIAL)
        .volume_label(*b"TETRARCH   ");
    fatfs::format_volume(&mut partition, options)?;
    let system = FileSystem::new(partition, FsOptions::new().update_accessed_date(false))?;
    for (name, bytes) in parts {
        system.root_dir().create_file(name)?.write_all(bytes)?;
    }
    Ok(system.unmount()?)
}

/// Opens the partition of the image at `path` and reads its files: names and contents.
pub fn read(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let table = MBR::read_from(&mut file, SECTOR as u32).context("no partition table")?;
    let entry = &table[1];
    ensure!(entry.sys == FAT32_LBA, "partition 1 is of type {:#x}, not FAT32", entry.sys);
    let start = u64::from(entry.starting_lba) * SECTOR;
    // The crate asks for a writer; nothing is written.
    let partition = StreamSlice::new(file, start, start + u64::from(entry.sectors) * SECTOR)?;
    let system = FileSystem::new(ReadOnly(partition), FsOptions::new())?;
    ensure!(system.fat_type() == FatType::Fat32, "the partition holds no FAT32");
    let mut files = Vec::new();
    for entry in system.root_dir().iter() {
        let entry = entry?;
        let mut bytes = Vec::new();
        entry.to_file().read_to_end(&mut bytes)?;
        files.push((entry.file_name(), bytes));
    }
    Ok(files)
}

/// A stream that is only read.
struct ReadOnly(StreamSlice<File>);

impl Read for ReadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ReadOnly {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Seek for ReadOnly {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

/// The board's own tree, compiled, from Debian's kernel package.
pub fn debian_tree(tools: &Tools) -> Result<PathBuf> {
    let package = root::package(tools, "linux-image-arm64", "*/bcm2711-rpi-4-b.dtb", "")?;
    build::find_file(&package, TREE).context("Debian's kernel package has no tree of the Raspberry Pi 4")
}

/// The board's own tree with the manifest behind it, and `change` behind that.
fn tree(tools: &Tools, firmware: &Firmware, change: &str) -> Result<Vec<u8>> {
    let board = match firmware.file(TREE) {
        Some(own) => own,
        None => debian_tree(tools)?,
    };
    let dir = tools.target.join("machine");
    let manifest = tools.root.join("raspberry-pi-4.dtsi");
    build::extend_tree(&board, &format!("/include/ \"{}\"\n{change}", manifest.display()), &dir)
}

/// Where the board's firmware is.
struct Firmware(PathBuf);

impl Firmware {
    /// In `given`, or in Debian's package, fetched once.
    fn find(tools: &Tools, given: Option<&Path>) -> Result<Firmware> {
        Ok(Firmware(match given {
            Some(dir) => dir.to_path_buf(),
            None => root::package(tools, "raspi-firmware", "", "non-free-firmware")?,
        }))
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        build::find_file(&self.0, name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.file(name).with_context(|| {
            format!("the firmware in {} has no {name}; FIRMWARE names a directory with start4.elf, fixup4.dat and LICENCE.broadcom", self.0.display())
        })?;
        Ok(std::fs::read(path)?)
    }

    /// The licence, under the name that it has where it comes from.
    fn notice(&self) -> Result<Vec<u8>> {
        self.read(if self.file("copyright").is_some() { "copyright" } else { "LICENCE.broadcom" })
    }
}

/// `make sdcard`.
pub fn make(tools: &Tools, card: &Card) -> Result<PathBuf> {
    let images = Images::build(tools)?;
    let path = tools.target.join("tetrarch-rpi4.img");
    write(&parts(tools, &images, card)?, &path)?;
    Ok(path)
}

/// What to do with the image.
pub fn advice(path: &Path) -> String {
    let image = path.display();
    format!(
        "{image} is ready.\n\
         Flash it: sudo dd if={image} of=/dev/sdX bs=4M conv=fsync (sdX: your card; all on it is lost),\n\
         or Raspberry Pi Imager, \"Use custom\".\n\
         The program's console, with the boot log before it: pins 8 (TXD) and 10 (RXD) of the header (GPIO 14, 15), ground on 6; 115200 8N1, 3.3 V.\n\
         The operator's console is the mini UART, which the header does not carry beside it: docs/raspberry-pi.md.\n"
    )
}

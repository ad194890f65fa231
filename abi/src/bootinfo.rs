//! What a domain finds when it starts: one read-only page at [`BOOTINFO_IPA`], its address in x0.
//!
//! Every domain sees the same plan of intermediate physical addresses, wherever its memory really is:
//!
//! | IPA | what | rights |
//! |---|---|---|
//! | `0x0801_0000` | virtual GIC CPU interface (GICV, two pages), EL1 kernels only | RW device |
//! | `0x0c00_0000` + i * 1 MiB | device frame i of those that the manifest gives to this service | RW device |
//! | `0x1000_0000` | this page | R |
//! | `0x1000_1000` | [`DomainStatus`] table (one page) | R |
//! | `0x1000_2000` | positions this domain publishes for its *stream* channels ([`POSITION_IPA`]) | RW |
//! | `0x2000_0000` | channels, in one row | writer RW, readers R |
//! | `0x4000_0000` | the domain's memory; its image stands at the start | RWX by segment |
//! | `0x8000_0000` | modules of the bundle that the manifest gives it (root image, recorded log), page-aligned | R; kernels RX |
//!
//! An EL1 kernel is entered at EL1h with MMU and caches off and all interrupts masked; a service at EL0 with a flat view
//! (stage 2 only, cacheable) and W^X by segment. x0 = [`BOOTINFO_IPA`]; sp is the image's own business.
//! At entry all memory beyond the image is zero.

/// Where a kernel finds its virtual CPU interface (GICV, two pages).
pub const CPU_INTERFACE_IPA: u64 = 0x0801_0000;
/// Device frame i lies at `DEVICE_IPA + i * DEVICE_STRIDE`, wherever the board has it.
pub const DEVICE_IPA: u64 = 0x0c00_0000;
/// Distance between device frames, bytes; also the largest frame.
pub const DEVICE_STRIDE: u64 = 1 << 20;
/// Address of the [`BootInfo`] page.
pub const BOOTINFO_IPA: u64 = 0x1000_0000;
/// Address of the table of domain states, indexed by domain.
pub const STATUS_IPA: u64 = 0x1000_1000;
/// Address of the page of positions that this domain publishes: u64 number i is its read position in *stream* channel i.
/// The stream's writer maps that page read-only, at [`PEER_POSITION_IPA`] + i * 4096.
pub const POSITION_IPA: u64 = 0x1000_2000;
/// Where the writer of stream channel i finds its reader's position page.
pub const PEER_POSITION_IPA: u64 = 0x1010_0000;
/// Start of the channels, which lie in one row as in the manifest's memory for them; [`ChannelInfo`] says where each is.
pub const CHANNEL_IPA: u64 = 0x2000_0000;
/// All channels together, bytes, at most.
pub const CHANNELS_SIZE: u64 = MEMORY_IPA - CHANNEL_IPA;
/// Start of a domain's memory.
pub const MEMORY_IPA: u64 = 0x4000_0000;
/// Start of the modules.
pub const MODULE_IPA: u64 = 0x8000_0000;

/// At most so many domains.
pub const DOMAINS_MAX: usize = 16;
/// At most so many kernels: those that vote, and those held cold.
pub const KERNELS_MAX: usize = 8;
/// At most so many channels; each is a bit of the notification word.
pub const CHANNELS_MAX: usize = 48;
/// At most so many modules in one domain.
pub const MODULES_MAX: usize = 4;
/// At most so many device frames in one domain.
pub const DEVICES_MAX: usize = 4;
/// At most so many pieces of free RAM.
pub const UNTYPED_MAX: usize = 16;
/// Longest name, bytes (padded with zeros).
pub const NAME_MAX: usize = 16;

/// First word of a [`BootInfo`]: "TETRBOOT" in little-endian.
pub const BOOTINFO_MAGIC: u64 = u64::from_le_bytes(*b"TETRBOOT");

/// A name, UTF-8, padded with zero bytes.
pub type Name = [u8; NAME_MAX];

/// The text of a [`Name`]; bytes that are not UTF-8 end it.
pub fn name_str(name: &Name) -> &str {
    let len = name.iter().position(|&b| b == 0).unwrap_or(NAME_MAX);
    match core::str::from_utf8(&name[..len]) {
        Ok(s) => s,
        Err(e) => core::str::from_utf8(&name[..e.valid_up_to()]).unwrap_or(""),
    }
}

/// `s` as a [`Name`]; `None` when it is longer than [`NAME_MAX`].
pub fn name_from(s: &str) -> Option<Name> {
    let mut name = [0; NAME_MAX];
    name.get_mut(..s.len())?.copy_from_slice(s.as_bytes());
    Some(name)
}

/// The page a domain starts with. Plain data, little-endian, `repr(C)`, no padding.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BootInfo {
    /// [`BOOTINFO_MAGIC`].
    pub magic: u64,
    /// Index of this domain.
    pub domain: u32,
    /// Number of domains.
    pub domains: u32,
    /// This domain's name, as in the manifest.
    pub name: Name,
    /// Bytes of memory at [`MEMORY_IPA`].
    pub memory_size: u64,
    /// Address (IPA) of the first byte after the image and its zeroed data, page-aligned: free memory starts here.
    pub image_end: u64,
    /// Frequency of the counter, Hz.
    pub counter_hz: u64,
    /// Parameters of the run, from the manifest.
    pub run: RunParameters,
    /// 32 fresh random bytes; zero in domains that the manifest does not give `entropy`.
    pub entropy: [u8; 32],
    /// How often EL2 has restarted this domain.
    pub restarts: u64,
    /// Names of all domains, by index.
    pub domain_names: [Name; DOMAINS_MAX],
    /// Channels by index; those that are not this domain's have role [`ROLE_NONE`].
    pub channels: [ChannelInfo; CHANNELS_MAX],
    /// Modules; an unused row has size 0.
    pub modules: [ModuleInfo; MODULES_MAX],
    /// Device frames; an unused row has size 0.
    pub devices: [DeviceInfo; DEVICES_MAX],
    /// For the domain that manages: RAM that is nobody's, by capability ([`crate::capability::root::UNTYPED`]); an unused row has size 0.
    pub untyped: [MemoryInfo; UNTYPED_MAX],
    /// For the domain that manages: the partitions, by index.
    pub partitions: [PartitionInfo; DOMAINS_MAX],
}

/// A partition, for the one who builds or seals it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct PartitionInfo {
    /// Its entry in the bundle.
    pub image: Name,
    /// Its memory, as Untyped at [`crate::capability::root::MEMORY`] on its core; size 0: EL2 has built it.
    pub memory: MemoryInfo,
    /// Its core.
    pub core: u32,
    /// Its memory, MiB, whoever builds it.
    pub mib: u32,
}

/// How the operator's orders ([`crate::vote::Control`]) name a domain that was restarted so often: what its predecessor was told does not
/// concern it. Of the first it is the domain's index.
pub const fn incarnation(domain: u32, restarts: u64) -> u32 {
    domain | (restarts as u32) << 8
}

const _: () = assert!(DOMAINS_MAX <= 1 << 8);

impl BootInfo {
    /// What this domain is called in [`crate::vote::Control`].
    pub fn incarnation(&self) -> u32 {
        incarnation(self.domain, self.restarts)
    }

    /// The channels that this domain reads and whose names begin with `prefix`.
    pub fn read_channels(&self, prefix: &str) -> impl Iterator<Item = &ChannelInfo> {
        self.channels.iter().filter(move |c| c.role == ROLE_READER && name_str(&c.name).starts_with(prefix))
    }
}

/// A piece of RAM, by physical addresses.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MemoryInfo {
    /// First address, page-aligned.
    pub base: u64,
    /// Bytes, whole pages.
    pub size: u64,
}

/// Numbers of the manifest's `run` node that domains need.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RunParameters {
    /// Bit k set: domain k is one of the first voters (personalities).
    pub voters: u64,
    /// Bit k set: domain k is a personality that is held cold: it is built, and neither runs nor votes until it takes another's place.
    pub cold: u64,
    /// Equal votes that release an effect.
    pub quorum: u32,
    /// How long the others wait for a late voter, milliseconds.
    pub grace_ms: u32,
    /// A thread that makes no call for so long holds its turn, milliseconds.
    pub stuck_ms: u32,
    /// State digests are voted at every so many sync points; 0: never.
    pub digest_interval: u32,
    /// Wall clock when the counter is 0, microseconds since 1970; 0: unknown.
    pub start_time_us: u64,
    /// An [`Iteration`] as a number.
    pub iteration: u32,
    /// A snapshot is taken at every sync point divisible by this; 0: only where a voter leaves.
    pub snapshot_interval: u32,
    /// Who gets no further for so long, though the others do, hangs; milliseconds.
    pub hang_ms: u32,
    /// A [`SparePolicy`] as a number.
    pub spare: u32,
}

/// What becomes of a kernel that was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Iteration {
    /// Another design takes its place, the next of those in the bundle.
    #[default]
    Rotate = 0,
    /// It is begun anew as it was.
    Refresh = 1,
    /// It stays out until the operator says otherwise.
    None = 2,
    /// It is begun anew as it was, before the place where it was lost, so that it executes the same turns again; if it is lost there again, as with [`Iteration::Rotate`].
    ReExecute = 3,
}

impl Iteration {
    /// By its word in the manifest.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "rotate" => Iteration::Rotate,
            "refresh" => Iteration::Refresh,
            "none" => Iteration::None,
            "re-execute" => Iteration::ReExecute,
            _ => return None,
        })
    }
}

/// When a kernel that is held cold takes the place of a lost one without an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum SparePolicy {
    /// When the lost one was begun anew in its own place again and again, and was lost each time before it voted.
    #[default]
    AfterAttempts = 0,
    /// At once: the spare's memory is clean already.
    First = 1,
    /// Never.
    Manual = 2,
}

impl SparePolicy {
    /// All of them, with their words in the manifest.
    pub const ALL: [(SparePolicy, &'static str); 3] = [
        (SparePolicy::AfterAttempts, "after-attempts"),
        (SparePolicy::First, "first"),
        (SparePolicy::Manual, "manual"),
    ];

    /// By its word in the manifest.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(policy, _)| *policy)
    }
}

impl RunParameters {
    /// All kernels: those that vote at first, and those that are held cold.
    pub fn kernels(&self) -> u64 {
        self.voters | self.cold
    }

    /// When a cold kernel takes a lost one's place.
    pub fn spare(&self) -> SparePolicy {
        SparePolicy::ALL.into_iter().map(|(p, _)| p).find(|p| *p as u32 == self.spare).unwrap_or_default()
    }

    /// What becomes of a kernel that was lost.
    pub fn iteration(&self) -> Iteration {
        let all = [Iteration::Rotate, Iteration::Refresh, Iteration::None, Iteration::ReExecute];
        all.into_iter().find(|i| *i as u32 == self.iteration).unwrap_or_default()
    }
}

/// This domain has nothing to do with the channel.
pub const ROLE_NONE: u32 = 0;
/// This domain writes.
pub const ROLE_WRITER: u32 = 1;
/// This domain reads.
pub const ROLE_READER: u32 = 2;

/// One channel as a domain sees it. The region's layout is [`crate::ring`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ChannelInfo {
    /// As in the manifest.
    pub name: Name,
    /// Address of the region.
    pub ipa: u64,
    /// Bytes of the region, a multiple of 4096.
    pub size: u64,
    /// One of the `ROLE_` constants.
    pub role: u32,
    /// 0: broadcast; 1: stream (see `ipa` of positions in the table above).
    pub stream: u32,
    /// Domain index of the writer.
    pub writer: u32,
    /// Reserved, zero.
    pub reserved: u32,
}

/// One module of the bundle.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ModuleInfo {
    /// As in the bundle.
    pub name: Name,
    /// Address, page-aligned.
    pub ipa: u64,
    /// Exact length, bytes.
    pub size: u64,
}

/// One device frame.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DeviceInfo {
    /// Node name without the unit address, e.g. `pl011`.
    pub name: Name,
    /// Address (the device's own).
    pub ipa: u64,
    /// Bytes.
    pub size: u64,
    /// INTID of its interrupt; 0 for none.
    pub intid: u32,
    /// Reserved, zero.
    pub reserved: u32,
}

const _: () = assert!(core::mem::size_of::<BootInfo>() <= 4096);

/// What became of a domain. A row is written only by the EL2 instance of the domain's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DomainState {
    /// No such domain.
    Absent = 0,
    /// It runs, as far as EL2 knows.
    Running = 1,
    /// It faulted in a way that it did not survive, or said so itself.
    Crashed = 2,
    /// EL2 takes its memory back, and begins it anew.
    Restarting = 3,
    /// It is stopped and its memory is zero: it runs when it is begun anew.
    Cold = 4,
}

/// In place of an image ([`crate::vote::Control::Restart`], and EL2's Restart): the domain's memory is taken back, and it stays [`DomainState::Cold`].
pub const COLD_IMAGE: u32 = u32::MAX;

/// Cause of the end of a domain that said so itself: no exception class, which has six bits (0: an undefined instruction).
pub const ENDED_ITSELF: u32 = 64;
/// The same of a domain whose core's EL2 crashed.
pub const EL2_CRASHED: u32 = 65;

/// One row of the table at [`STATUS_IPA`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DomainStatus {
    /// A [`DomainState`] as a number.
    pub state: u16,
    /// How often EL2 has begun it anew, modulo 2^16.
    pub restarts: u16,
    /// Exception class (ESR_EL2.EC) of the fault that ended it, [`ENDED_ITSELF`] or [`EL2_CRASHED`].
    pub cause: u32,
    /// Program counter at the end.
    pub pc: u64,
    /// Faulting address, if any.
    pub address: u64,
    /// Entries into EL2 so far.
    pub exits: u64,
}

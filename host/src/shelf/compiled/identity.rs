//! Which very file it is, and that it was not written to: device, inode, size, and the time of its last change to the
//! nanosecond, as an index of version control knows its files again without reading them.
//!
//! It rests on the time of the last change (`ctime`). Whatever writes to a file, renames it or gives it another owner or
//! date moves that time, and no call sets it. Only root can turn the clock back to it, or write to the disk beneath the file
//! system. Clocks of file systems are coarse, so two changes may have the same time: a file is known only once it has been
//! left alone for [`SETTLED_AFTER`].
//!
//! What it does not see: bits that rot on the disk after the file was hashed, and a program that had already mapped the file
//! to write to it, which moves the time only when the system gets round to it. Such a program runs as the gateway's user,
//! and could as well read the key, or write to the gateway's memory.
//!
//! Unix has it all; elsewhere no file has an identity, and each is hashed at each start.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

/// What tells a file, as it is now, from every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    changed_seconds: i64,
    changed_nanoseconds: i64,
}

/// Since its last change. The coarsest clock of a file system in use, FAT's, ticks every two seconds.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(2);

impl Identity {
    /// The identity of the file with this metadata.
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed_seconds: metadata.ctime(),
            changed_nanoseconds: metadata.ctime_nsec(),
        })
    }

    /// None: what a change leaves behind here is not enough to go by.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Option<Self> {
        None
    }

    /// Whether another change would show, because the last one was long enough ago.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let changed = Duration::new(
            u64::try_from(self.changed_seconds).unwrap_or_default(),
            u32::try_from(self.changed_nanoseconds).unwrap_or_default(),
        );
        let changed = SystemTime::UNIX_EPOCH.checked_add(changed);
        changed.and_then(|changed| now.duration_since(changed).ok()).is_some_and(|age| age >= SETTLED_AFTER)
    }

    /// All of it, in one way only.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (seconds, nanoseconds) =
            (self.changed_seconds.to_be_bytes(), self.changed_nanoseconds.to_be_bytes());
        let numbers = [self.device, self.inode, self.bytes].map(u64::to_be_bytes);
        [numbers.as_flattened(), &seconds, &nanoseconds].concat()
    }
}

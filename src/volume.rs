//! Volumes: backing directories of sealed objects, in the format of `FORMAT.md`.
//!
//! Owns the stored format and every read and write of it. Must not know fuser, SQL or HTTP; keys
//! come through [`crate::kms::service::KeyService`], and whoever rewraps never sees a data key.
//!
//! ```text
//!   Volume ── Directory ── names            a directory: its header and its sealed names
//!     │           ├─ create, remove          order of writes around a name
//!     │           └─ durable                 what an fsync owes to the way to an object
//!     ├────── File ── contents ── group ── page      a file: header, groups, chunks
//!     │         ├─ held ── medium          changes of durable pages, and what a power cut may find
//!     │         ├─ rewrap ── header                  both kinds: two slots
//!     │         └─ reseal                  both kinds: another data key, while it is in use
//!     ├────── check                         verifies, repairs and salvages what nobody has mounted
//!     ├────── flusher                       the thread that lets held changes down
//!     └────── marker                        the volume file: lock, session, mounted mark
//!   backing: the system calls, all of them, so that tests can make each one fail
//! ```
//!
//! Lock order: a directory's `moving`, an envelope's `opened`, its `rewrap` mutex, its `times`, its file's `len`, `landing`,
//! `writing`, the groups in ascending order, what is held, the table of groups. A lock is never held
//! while the key service is asked, but for `opened` and `rewrap`.

pub mod attributes;
pub mod backing;
pub mod check;
pub mod contents;
pub mod create;
pub mod directory;
mod durable;
pub mod error;
pub mod file;
mod flusher;
pub mod group;
pub mod header;
mod held;
pub mod layout;
pub mod marker;
mod medium;
pub mod names;
pub mod open;
pub mod page;
mod remains;
pub mod remove;
pub mod reseal;
pub mod resize;
pub mod rewrap;
pub mod subkeys;
pub mod xattrs;

pub use attributes::{Attributes, Kind};
pub use backing::Backing;
pub use create::Owner;
pub use directory::{Directory, ListedName};
pub use error::VolumeError;
pub use file::{File, Handle};
pub use held::MOST_HELD_BYTES;
pub use open::{Crash, InitOptions, OpenOptions, Volume};
pub use reseal::{Reseal, ResealProgress, Step};
pub use rewrap::{Envelope, RewrapRequest, Rewrapped};

/// A 16-byte random identity: of a volume, or of an object.
pub type Id = [u8; 16];

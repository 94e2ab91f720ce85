//! The mount: FUSE requests to volume calls and back.
//!
//! Owns inode and handle tables, control attributes, the ioctl and the only errno table. Must not
//! know cryptography or SQL. A request is decoded, one volume call is made, the reply is sent. Two
//! threads work beside the requests: `revocation` takes open files back, `resealing` does reseals.
//!
//! Lock order: the tree's `names` (shared by everything that goes by a name, exclusive for what
//! takes names away), a node's place, the table of nodes. Locks are released before a reply.

mod callers;
pub mod control;
mod convert;
pub mod errno;
pub mod filesystem;
mod handles;
pub mod ioctl;
mod requests;
mod resealing;
mod revocation;
pub mod session;
pub mod tree;

pub use filesystem::{Cache, MountOptions};
pub use session::{MountEntry, MountError, Mounted, Options, mount, mounted_at, unmount};

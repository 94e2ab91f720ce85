//! `rekeyfs`: a FUSE filesystem that keeps every file under a data key of its own, wrapped by a
//! key of a local KMS with the semantics of AWS KMS, and re-encrypts transparently.
//!
//! ```text
//!         cli ──────────┬───────────────┐      may import:
//!          │            │               │        cli      -> everything below
//!        rotate       mount         endpoint      rotate   -> volume, kms::service
//!          │            │               │        mount    -> volume, kms::service
//!          └─► volume ◄─┘               │        endpoint -> kms
//!                 │                     │        volume   -> kms::service (one trait), leaves
//!                 └───────► kms ◄───────┘        kms      -> leaves
//!                            │
//!             codec, secret, primitives, sys (leaves: import nothing of ours)
//! ```
//!
//! `tests/layers.rs` reads the imports and fails when they do not follow this picture.

pub mod cli;
pub mod codec;
pub mod endpoint;
pub mod kms;
pub mod mount;
pub mod primitives;
pub mod rotate;
pub mod secret;
pub mod sys;
pub mod volume;

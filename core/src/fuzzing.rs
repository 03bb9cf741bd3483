//! The entry points of the fuzz targets in `core/fuzz`, each with the bytes that another side sends. Compiled for them only.
//!
//! Whatever the bytes are, the code returns or fails; it neither panics nor allocates without a bound.

pub use crate::archive::fuzzing::archive_documents;
pub use crate::endpoint::fuzzing::urls;
pub use crate::mysql::fuzzing::{definitions, server_login, server_packets};
pub use crate::remote::fuzzing::agent_frames;

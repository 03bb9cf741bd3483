//! The entry points of the fuzz targets in `core/fuzz`, each with the bytes that another side sends. Compiled for them, and for a test.
//!
//! Whatever the bytes are, the code returns or fails; it neither panics nor allocates without a bound.

pub use crate::archive::fuzzing::archive_documents;
pub use crate::endpoint::fuzzing::urls;
pub use crate::mysql::fuzzing::{definitions, log_events, server_login, server_packets};
pub use crate::remote::fuzzing::agent_frames;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    type Target = fn(&[u8]);

    #[test]
    fn every_seed_passes_its_target() {
        let targets: [(&str, Target); 7] = [
            ("archive_documents", archive_documents),
            ("urls", urls),
            ("definitions", definitions),
            ("log_events", log_events),
            ("server_login", server_login),
            ("server_packets", server_packets),
            ("agent_frames", agent_frames),
        ];
        for (name, target) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
            let seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|seed| seed.unwrap().path()).collect();
            assert!(!seeds.is_empty(), "{name} has no seeds");
            seeds.iter().for_each(|seed| target(&fs::read(seed).unwrap()));
        }
    }
}

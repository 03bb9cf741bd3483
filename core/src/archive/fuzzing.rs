//! The fuzz target of an archive's documents.

use serde_json::Value;

use super::layout::{self, Manifest};
use crate::plan::Plan;

/// Reads the bytes as each document of an archive; and two lines of JSON as the contents of a plan and of its manifest, with
/// digests that are right.
pub fn archive_documents(data: &[u8]) {
    let _ = layout::decode::<Plan>(data, "fuzz");
    let _ = layout::decode::<Manifest>(data, "fuzz");
    let mut documents = data.split(|byte| *byte == b'\n').map(|line| {
        let content = serde_json::from_slice::<Value>(line).ok()?;
        layout::encode(&content).ok()
    });
    let (Some(Some(plan)), Some(Some(manifest))) = (documents.next(), documents.next()) else { return };
    let plan = layout::decode::<Plan>(&plan, "fuzz");
    let manifest = layout::decode::<Manifest>(&manifest, "fuzz");
    if let (Ok(plan), Ok(manifest)) = (plan, manifest) {
        // As if the manifest were of this plan: no change of its bytes would find its digest.
        let _ = manifest.content.check(&plan.content, &manifest.content.plan);
    }
}

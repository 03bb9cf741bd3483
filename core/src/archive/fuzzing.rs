//! The fuzz target of an archive's documents.

use super::layout::{self, Manifest};
use crate::plan::Plan;

/// Reads the bytes as each document of an archive, with a digest that is right and as they are.
pub fn archive_documents(data: &[u8]) {
    let _ = layout::decode::<Plan>(data, "fuzz");
    let _ = layout::decode::<Manifest>(data, "fuzz");
    if let Ok(content) = serde_json::from_slice::<serde_json::Value>(data)
        && let Ok(document) = layout::encode(&content)
    {
        let plan = layout::decode::<Plan>(&document, "fuzz");
        let manifest = layout::decode::<Manifest>(&document, "fuzz");
        if let (Ok(plan), Ok(manifest)) = (plan, manifest) {
            let _ = manifest.content.check(&plan.content, "");
        }
    }
}

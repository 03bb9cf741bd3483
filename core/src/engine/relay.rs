//! Two legs through an archive at the same time: the load starts with the first batch, not after the last.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::pipeline::{Leg, Outcome};
use crate::batch::Staged;
use crate::error::Result;
use crate::source::Source;

/// How long a failed import waits for the word of the export.
const GRACE: Duration = Duration::from_millis(200);

/// Runs `export` into the archive and `import` out of it. `follow` makes the importing leg's source from what the
/// exporting leg tells.
pub(crate) async fn relay(
    export: Leg,
    import: Leg,
    follow: impl FnOnce(mpsc::UnboundedReceiver<Staged>) -> Arc<dyn Source>,
) -> Result<Outcome> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let import = Leg { source: follow(receiver), ..import };
    let export = Leg { staged: Some(sender), ..export };
    let (exporting, importing) = (export.run(), import.run());
    tokio::pin!(exporting, importing);
    let outcome = tokio::select! {
        exported = &mut exporting => {
            let exported = exported?;
            importing.await?.after(exported)
        }
        imported = &mut importing => match imported {
            Err(error) => {
                // The import may have seen only that its source ended early; why it did, the export knows.
                if let Ok(exported) = tokio::time::timeout(GRACE, exporting).await {
                    exported?;
                }
                return Err(error);
            }
            Ok(outcome) => outcome.after(exporting.await?),
        },
    };
    Ok(outcome)
}

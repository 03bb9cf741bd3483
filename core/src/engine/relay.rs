//! Two legs through an archive at the same time: the load starts with the first batch, not after the last.

use std::time::Duration;

use tokio::sync::mpsc;

use super::pipeline::Outcome;
use crate::batch::ExportEvent;
use crate::error::Result;

/// How long a failed import waits for the word of the export.
const GRACE: Duration = Duration::from_millis(200);

/// Runs `export` into the archive and `import` out of it, wherever they run; what the exporting leg tells, the importing
/// one hears.
pub(crate) async fn relay<E: Future<Output = Result<Outcome>>, I: Future<Output = Result<Outcome>>>(
    export: impl FnOnce(mpsc::UnboundedSender<ExportEvent>) -> E,
    import: impl FnOnce(mpsc::UnboundedReceiver<ExportEvent>) -> I,
) -> Result<Outcome> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (exporting, importing) = (export(sender), import(receiver));
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

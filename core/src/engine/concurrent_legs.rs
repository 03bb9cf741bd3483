//! Runs the two legs of a clone through an archive at the same time: the import starts with the first batch.

use std::time::Duration;

use tokio::sync::mpsc;

use super::leg::LegOutcome;
use crate::batch::ExportEvent;
use crate::error::Result;

/// The time that a failed import waits for the export's error, which is often the cause.
const EXPORT_ERROR_WAIT: Duration = Duration::from_millis(200);

/// Runs `export` into an archive and `import` out of it. The staging events of the export feed the import.
///
/// # Errors
/// The error of the leg that failed first; of the export, if both failed within 200 ms.
pub(crate) async fn run_both_legs<E: Future<Output = Result<LegOutcome>>, I: Future<Output = Result<LegOutcome>>>(
    export: impl FnOnce(mpsc::UnboundedSender<ExportEvent>) -> E,
    import: impl FnOnce(mpsc::UnboundedReceiver<ExportEvent>) -> I,
) -> Result<LegOutcome> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (export, import) = (export(sender), import(receiver));
    tokio::pin!(export, import);
    let outcome = tokio::select! {
        exported = &mut export => {
            let exported = exported?;
            import.await?.with_notes_of(exported)
        }
        imported = &mut import => match imported {
            Err(error) => {
                // The import may only report that its feed ended early. The export's error tells the cause.
                if let Ok(exported) = tokio::time::timeout(EXPORT_ERROR_WAIT, export).await {
                    exported?;
                }
                return Err(error);
            }
            Ok(outcome) => outcome.with_notes_of(export.await?),
        },
    };
    Ok(outcome)
}

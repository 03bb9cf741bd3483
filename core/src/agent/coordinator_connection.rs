//! The control connection to the coordinator: the streams of the process at first, and a lane after each time it broke.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::service::AgentService;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::REATTACH_TIMEOUT;
use crate::remote::frame::{FrameReader, FrameWriter};
use crate::remote::message::{AgentMessage, CoordinatorMessage, LaneResponse};
use crate::remote::outbox::{Outbox, read_message, write_messages};

/// A lane over which the coordinator makes its connection again.
pub(super) struct Attachment {
    /// The number of the attempt.
    pub(super) attempt: u64,
    /// The number of the last message that the coordinator has received.
    pub(super) received: u64,
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
}

/// The connection to the coordinator.
pub(super) struct CoordinatorConnection {
    reader: FrameReader,
    outbox: Arc<Outbox<AgentMessage>>,
    write_task: JoinSet<()>,
    attachments: mpsc::Receiver<Attachment>,
    /// The number of the last attempt that was accepted.
    attempt: u64,
}

impl CoordinatorConnection {
    /// Begins to write the messages of `outbox`. When the connection breaks, waits for `attachments`.
    pub(super) fn new(
        reader: FrameReader,
        mut writer: FrameWriter,
        outbox: Arc<Outbox<AgentMessage>>,
        attachments: mpsc::Receiver<Attachment>,
    ) -> Self {
        let mut write_task = JoinSet::new();
        let queue = outbox.clone();
        // The reader detects a broken connection.
        write_task.spawn(async move { drop(write_messages(&queue, &mut writer, 0).await) });
        Self { reader, outbox, write_task, attachments, attempt: 0 }
    }

    /// Receives the next message and its body.
    ///
    /// # Errors
    /// `Connection` when the coordinator is lost.
    pub(super) async fn receive(&mut self, service: &AgentService) -> Result<(CoordinatorMessage, Bytes)> {
        loop {
            let error = tokio::select! {
                attachment = next_attachment(&mut self.attachments, self.attempt, &self.outbox) => {
                    self.attach(attachment).await;
                    continue;
                }
                message = read_message(&mut self.reader, &self.outbox) => match message {
                    Ok(message) => return Ok(message),
                    Err(error) => error,
                },
            };
            if !error.is_retryable() {
                return Err(coordinator_lost(&error.to_string()));
            }
            self.wait_for_attachment(service, &error.to_string()).await?;
        }
    }

    /// Waits until the coordinator has made the connection again.
    async fn wait_for_attachment(&mut self, service: &AgentService, why: &str) -> Result<()> {
        self.write_task.shutdown().await;
        service.set_connected(false);
        let attach = async {
            let attachment = next_attachment(&mut self.attachments, self.attempt, &self.outbox).await;
            self.attach(attachment).await;
        };
        tokio::select! {
            attached = timeout(REATTACH_TIMEOUT, attach) => match attached {
                Ok(()) => {
                    service.set_connected(true);
                    Ok(())
                }
                Err(_) => {
                    let seconds = REATTACH_TIMEOUT.as_secs();
                    Err(coordinator_lost(&format!("{why}, and it was not back within {seconds} s")))
                }
            },
            () = service.wait_for_takeover() => {
                Err(coordinator_lost(&format!("{why}, and another process takes the clone over")))
            }
        }
    }

    /// Makes a lane the connection.
    async fn attach(&mut self, attachment: Attachment) {
        let Attachment { attempt, received, reader, mut writer } = attachment;
        self.attempt = attempt;
        self.write_task.shutdown().await;
        self.reader = reader;
        let queue = self.outbox.clone();
        let reply = LaneResponse::Attached { received: queue.received() };
        self.write_task.spawn(async move {
            if writer.send(&reply, &[]).await.is_ok() {
                drop(write_messages(&queue, &mut writer, received).await);
            }
        });
    }
}

/// Waits for a lane of a later attempt than `latest`. Closes all others: no frame is cut off because of them.
async fn next_attachment(
    attachments: &mut mpsc::Receiver<Attachment>,
    latest: u64,
    outbox: &Outbox<AgentMessage>,
) -> Attachment {
    while let Some(attachment) = attachments.recv().await {
        if attachment.attempt > latest && outbox.acknowledge(attachment.received).is_ok() {
            return attachment;
        }
    }
    std::future::pending().await
}

pub(super) fn coordinator_lost(why: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the coordinator is lost: {why}"))
}

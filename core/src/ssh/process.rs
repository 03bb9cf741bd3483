//! A command on an SSH host.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::channel::{ChannelGuard, ClosedChannels, broken_error, into_reader};

/// The number of bytes of standard error that are kept.
const STDERR_TAIL: usize = 8 << 10;

/// A running command on an SSH host. Dropping it closes its standard input and output.
pub(crate) struct RemoteProcess {
    /// The standard input; shutting it down sends the end of file.
    pub(crate) stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// The standard output.
    pub(crate) stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    exit_status: watch::Receiver<Option<ExitStatus>>,
    _guard: ChannelGuard,
}

/// The exit status of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExitStatus {
    /// The exit code; `None` if a signal ended the command, or the connection broke.
    pub(crate) code: Option<u32>,
    /// The name of the signal that ended the command (`KILL`).
    pub(crate) signal: Option<String>,
}

impl RemoteProcess {
    pub(super) fn new(read: ChannelReadHalf, write: ChannelWriteHalf<Msg>, closed: ClosedChannels) -> Self {
        let guard = ChannelGuard::new(write, closed);
        let stdin = Box::new(guard.writer());
        let stderr = Arc::default();
        // A channel of capacity 1: unread output stays in the buffer of the SSH channel.
        let (chunks, output) = mpsc::channel(1);
        let (sender, exit_status) = watch::channel(None);
        tokio::spawn(dispatch_messages(read, chunks, Arc::clone(&stderr), sender));
        let output = stream::unfold(output, |mut output| async { Some((output.recv().await?, output)) });
        Self { stdin, stdout: Box::new(into_reader(output)), stderr, exit_status, _guard: guard }
    }

    /// The last 8 KiB of standard error so far.
    pub(crate) fn stderr(&self) -> String {
        let mut tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(tail.make_contiguous()).into_owned()
    }

    /// Waits until the command has ended. Read its output meanwhile, or the command may block.
    pub(crate) async fn exit_status(&mut self) -> ExitStatus {
        match self.exit_status.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(status)) => status.clone(),
            _ => ExitStatus { code: None, signal: None },
        }
    }
}

type OutputSender = mpsc::Sender<std::io::Result<bytes::Bytes>>;

/// Dispatches the messages of a command's channel to its output, its standard error and its exit status.
async fn dispatch_messages(
    mut read: ChannelReadHalf,
    chunks: OutputSender,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    sender: watch::Sender<Option<ExitStatus>>,
) {
    let mut status = ExitStatus { code: None, signal: None };
    let mut chunks = Some(chunks);
    loop {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if let Some(output) = &chunks {
                    // Fails if the reader was dropped. The rest of the output is then discarded.
                    let _ = output.send(Ok(data)).await;
                }
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                let mut tail = stderr.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend(data);
                let over = tail.len().saturating_sub(STDERR_TAIL);
                tail.drain(..over);
            }
            Some(ChannelMsg::Eof) => chunks = None,
            Some(ChannelMsg::ExitStatus { exit_status }) => status.code = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => status.signal = Some(signal_text(signal_name)),
            Some(ChannelMsg::Close) => break,
            Some(_) => {}
            None => {
                if let Some(output) = &chunks {
                    let _ = output.send(Err(broken_error())).await;
                }
                break;
            }
        }
    }
    let _ = sender.send(Some(status));
}

fn signal_text(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        other => format!("{other:?}"),
    }
}

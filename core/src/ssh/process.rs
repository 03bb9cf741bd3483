use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::channel::{Closed, Closer, broken, reader};

/// How much of standard error is kept.
const TAIL: usize = 8 << 10;

/// A command that runs on a host. Dropping it closes its standard input and output.
pub(crate) struct Process {
    /// Its standard input; shutting it down is the end of file.
    pub(crate) stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Its standard output.
    pub(crate) stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    ended: watch::Receiver<Option<Ended>>,
    _closer: Closer,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it, or the connection broke.
    pub(crate) code: Option<u32>,
    /// The signal's name (`KILL`).
    pub(crate) signal: Option<String>,
}

impl Process {
    pub(super) fn new(read: ChannelReadHalf, write: ChannelWriteHalf<Msg>, closed: Closed) -> Self {
        let closer = Closer::new(write, closed);
        let stdin = Box::new(closer.writer());
        let stderr = Arc::default();
        // What is not read stays in the channel's own buffer.
        let (pieces, output) = mpsc::channel(1);
        let (end, ended) = watch::channel(None);
        tokio::spawn(sort(read, pieces, Arc::clone(&stderr), end));
        let output = stream::unfold(output, |mut output| async { Some((output.recv().await?, output)) });
        Self { stdin, stdout: Box::new(reader(output)), stderr, ended, _closer: closer }
    }

    /// The end of what it has written to standard error so far, at most 8 KiB.
    pub(crate) fn stderr(&self) -> String {
        let mut tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(tail.make_contiguous()).into_owned()
    }

    /// Waits until it has ended. Its output must be read, or it may not come to its end.
    pub(crate) async fn ended(&mut self) -> Ended {
        match self.ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ended)) => ended.clone(),
            _ => Ended { code: None, signal: None },
        }
    }
}

type Pieces = mpsc::Sender<std::io::Result<bytes::Bytes>>;

/// Gives each message of a command to whom it concerns.
async fn sort(
    mut read: ChannelReadHalf,
    pieces: Pieces,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    end: watch::Sender<Option<Ended>>,
) {
    let mut ended = Ended { code: None, signal: None };
    let mut pieces = Some(pieces);
    loop {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if let Some(output) = &pieces {
                    // If nobody reads any more, the rest is thrown away.
                    let _ = output.send(Ok(data)).await;
                }
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                let mut tail = stderr.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend(data);
                let over = tail.len().saturating_sub(TAIL);
                tail.drain(..over);
            }
            Some(ChannelMsg::Eof) => pieces = None,
            Some(ChannelMsg::ExitStatus { exit_status }) => ended.code = Some(exit_status),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => ended.signal = Some(name(signal_name)),
            Some(ChannelMsg::Close) => break,
            Some(_) => {}
            None => {
                if let Some(output) = &pieces {
                    let _ = output.send(Err(broken())).await;
                }
                break;
            }
        }
    }
    let _ = end.send(Some(ended));
}

fn name(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        other => format!("{other:?}"),
    }
}

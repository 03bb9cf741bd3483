//! The messages of a control connection that the other side may not have received. Both sides number their messages, keep
//! them until they are acknowledged, and send them again over a new connection: each message is handled exactly once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::frame::{FrameReader, FrameWriter};
use super::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_TIMEOUT};
use crate::error::{Error, ErrorKind, Result};

/// The bytes of kept messages after which no further one is accepted.
const MAX_KEPT_BYTES: usize = 256 << 20;
/// What a message takes beside its body, in bytes.
const HEAD_BYTES: usize = 512;
/// The bytes of received messages after which an acknowledgement is sent at once.
const ACKNOWLEDGE_BYTES: usize = 32 << 10;

/// The head of a frame on a control connection.
#[derive(Serialize, Deserialize)]
pub(super) struct Envelope<M> {
    /// The number of the last message that the sender of the frame has received.
    received: u64,
    /// The message with its number; `None` in a keep-alive.
    message: Option<(u64, M)>,
}

/// The messages to the other side. The first one has the number 1.
pub(crate) struct Outbox<M> {
    state: Mutex<OutboxState<M>>,
    /// There is something to write.
    changed: Notify,
    /// Too much is kept.
    overflowed: Notify,
}

struct OutboxState<M> {
    /// The messages that are not acknowledged, in order.
    kept: VecDeque<(Arc<M>, Bytes)>,
    kept_bytes: usize,
    /// The number of the last message that the other side has received, as far as this side knows.
    acknowledged: u64,
    /// The number of the last message that was received from the other side.
    received: u64,
    /// The bytes that were received since the last acknowledgement.
    unacknowledged_bytes: usize,
    /// The message from the other side whose transfer has taken too long once.
    slow_message: Option<u64>,
    /// Whether no further message follows.
    is_closed: bool,
}

/// What a writer does next.
enum NextFrame<M> {
    Message(Arc<M>, Bytes),
    KeepAlive,
    End,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        let state = OutboxState {
            kept: VecDeque::new(),
            kept_bytes: 0,
            acknowledged: 0,
            received: 0,
            unacknowledged_bytes: 0,
            slow_message: None,
            is_closed: false,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), overflowed: Notify::new() }
    }
}

impl<M> Outbox<M> {
    fn state(&self) -> MutexGuard<'_, OutboxState<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message.
    pub(crate) fn push(&self, message: M, body: Vec<u8>) {
        let mut state = self.state();
        if state.kept_bytes > MAX_KEPT_BYTES {
            // Both sides end the connection, since this message is missing.
            state.is_closed = true;
            return self.overflowed.notify_one();
        }
        if !state.is_closed {
            state.kept_bytes += HEAD_BYTES + body.len();
            state.kept.push_back((Arc::new(message), body.into()));
            self.changed.notify_one();
        }
    }

    /// Accepts no further message. The writer ends when all are written.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// Whether no further message follows.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Waits until messages are lost because too many wait for their acknowledgement.
    pub(crate) async fn wait_for_overflow(&self) -> Error {
        self.overflowed.notified().await;
        let message = format!("more than {} MiB of messages were not acknowledged", MAX_KEPT_BYTES >> 20);
        Error::new(ErrorKind::Connection, message)
    }

    /// The number of the last message that was received from the other side.
    pub(crate) fn received(&self) -> u64 {
        self.state().received
    }

    /// Forgets the messages up to the one of this number: the other side has received them.
    ///
    /// # Errors
    /// `Connection` if there was no such message, or if a later one was acknowledged before.
    pub(crate) fn acknowledge(&self, number: u64) -> Result<()> {
        let mut state = self.state();
        let last = state.acknowledged + state.kept.len() as u64;
        if number < state.acknowledged || number > last {
            return Err(Error::new(ErrorKind::Connection, "the other side acknowledges messages that it cannot have"));
        }
        while state.acknowledged < number {
            let Some((_, body)) = state.kept.pop_front() else { break };
            state.kept_bytes -= HEAD_BYTES + body.len();
            state.acknowledged += 1;
        }
        Ok(())
    }

    /// Counts a message that was received from the other side.
    fn receive(&self, number: u64, body: usize) -> Result<()> {
        let mut state = self.state();
        if number != state.received + 1 {
            return Err(Error::new(ErrorKind::Connection, "messages of the other side are missing or repeated"));
        }
        state.received = number;
        state.unacknowledged_bytes += HEAD_BYTES + body;
        if state.unacknowledged_bytes >= ACKNOWLEDGE_BYTES {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The error of a message that takes too long. A new connection may be faster, but is tried only once: each begins the
    /// message again.
    fn slow_message_error(&self, number: Option<u64>, limit: Duration) -> Error {
        let seconds = limit.as_secs_f64();
        let earlier = std::mem::replace(&mut self.state().slow_message, number);
        if number.is_none() || earlier != number {
            return broken(&format!("one of its messages took longer than {seconds} s"));
        }
        let why =
            format!("one of its messages took longer than {seconds} s over two connections: the line is too slow");
        Error::new(ErrorKind::Connection, why)
    }

    #[cfg(test)]
    pub(crate) fn kept_messages(&self) -> Vec<Arc<M>> {
        self.state().kept.iter().map(|(message, _)| message.clone()).collect()
    }

    /// Waits for what is to be written when the messages before `number` are.
    async fn wait_for_frame(&self, number: u64) -> NextFrame<M> {
        loop {
            {
                let state = self.state();
                let index = number.checked_sub(state.acknowledged + 1).and_then(|index| usize::try_from(index).ok());
                if let Some((message, body)) = index.and_then(|index| state.kept.get(index)) {
                    return NextFrame::Message(message.clone(), body.clone());
                }
                if state.unacknowledged_bytes >= ACKNOWLEDGE_BYTES {
                    return NextFrame::KeepAlive;
                }
                if state.is_closed {
                    return NextFrame::End;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The number to acknowledge in the next frame.
    fn take_acknowledgement(&self) -> u64 {
        let mut state = self.state();
        state.unacknowledged_bytes = 0;
        state.received
    }
}

/// Writes the messages after the one of the number `sent`, and keep-alives while there are none. Closes the stream after the
/// last one.
pub(crate) async fn write_messages<M: Serialize>(
    outbox: &Outbox<M>,
    writer: &mut FrameWriter,
    mut sent: u64,
) -> Result<()> {
    loop {
        let next = timeout(KEEPALIVE_INTERVAL, outbox.wait_for_frame(sent + 1)).await.unwrap_or(NextFrame::KeepAlive);
        let received = outbox.take_acknowledgement();
        match next {
            NextFrame::Message(message, body) => {
                sent += 1;
                writer.send(&Envelope { received, message: Some((sent, &*message)) }, &body).await?;
            }
            NextFrame::KeepAlive => writer.send(&Envelope::<&M> { received, message: None }, &[]).await?,
            NextFrame::End => return writer.close().await,
        }
    }
}

/// Reads frames until one has a message. Takes the acknowledgements for `outbox`.
///
/// # Errors
/// Retryable if a new connection may help.
pub(crate) async fn read_message<M: DeserializeOwned, N>(
    reader: &mut FrameReader,
    outbox: &Outbox<N>,
) -> Result<(M, Bytes)> {
    read_message_within(MESSAGE_TIMEOUT, reader, outbox).await
}

/// Reads the next message, whose transfer may take this long.
async fn read_message_within<M: DeserializeOwned, N>(
    limit: Duration,
    reader: &mut FrameReader,
    outbox: &Outbox<N>,
) -> Result<(M, Bytes)> {
    loop {
        let head = timeout(KEEPALIVE_TIMEOUT, reader.read_head::<Envelope<M>>()).await;
        let head = head.map_err(|_| broken(&format!("it was silent for {} s", KEEPALIVE_TIMEOUT.as_secs())))?;
        let Envelope { received, message } = head?.ok_or_else(|| broken("it closed the connection"))?;
        let body = timeout(limit, reader.read_body()).await;
        let number = message.as_ref().map(|(number, _)| *number);
        let body = body.map_err(|_| outbox.slow_message_error(number, limit))??;
        outbox.acknowledge(received)?;
        if let Some((number, message)) = message {
            outbox.receive(number, body.len())?;
            return Ok((message, body));
        }
    }
}

fn broken(why: &str) -> Error {
    Error::new(ErrorKind::Connection, why).retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Messages = Outbox<String>;

    /// Writes from `sent` on into a buffer, until the outbox has no more.
    async fn written(outbox: &Messages, sent: u64) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut writer = FrameWriter::new(near);
        outbox.close();
        write_messages(outbox, &mut writer, sent).await.unwrap();
        drop(writer);
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut bytes).await.unwrap();
        bytes
    }

    async fn received(outbox: &Messages, bytes: Vec<u8>) -> (Vec<String>, Error) {
        let mut reader = FrameReader::new(std::io::Cursor::new(bytes));
        let mut messages = Vec::new();
        loop {
            match read_message::<String, _>(&mut reader, outbox).await {
                Ok((message, body)) => messages.push(format!("{message} {}", body.len())),
                Err(error) => return (messages, error),
            }
        }
    }

    #[tokio::test]
    async fn what_was_not_received_is_sent_again_and_nothing_else() {
        let (near, far) = (Messages::default(), Messages::default());
        for number in 1..=4 {
            near.push(format!("m{number}"), vec![0; number]);
        }
        let bytes = written(&near, 0).await;
        // The connection breaks in the middle of the third message.
        let third = bytes.windows(4).position(|window| window == b"\"m3\"").unwrap();
        let (first, error) = received(&far, bytes[..third + 5].to_vec()).await;
        assert_eq!(first, ["m1 1", "m2 2"]);
        assert!(error.is_retryable(), "{error}");
        near.acknowledge(far.received()).unwrap();
        let (rest, error) = received(&far, written(&near, far.received()).await).await;
        assert_eq!(rest, ["m3 3", "m4 4"]);
        assert!(error.is_retryable(), "{error}");
    }

    #[tokio::test]
    async fn a_message_that_takes_too_long_is_begun_again_once() {
        let (near, far) = (Messages::default(), Messages::default());
        near.push("m1".to_owned(), Vec::new());
        near.push("m2".to_owned(), vec![0; 100]);
        let bytes = written(&near, 0).await;
        for (is_retryable, told) in [(true, "took longer than 0.01 s"), (false, "the line is too slow")] {
            // The last byte never comes.
            let (mut line, end) = tokio::io::duplex(1 << 20);
            let begin = if far.received() == 0 { 0 } else { bytes.len() - written(&near, 1).await.len() };
            tokio::io::AsyncWriteExt::write_all(&mut line, &bytes[begin..bytes.len() - 1]).await.unwrap();
            let mut reader = FrameReader::new(end);
            let error = loop {
                match read_message_within::<String, _>(Duration::from_millis(10), &mut reader, &far).await {
                    Ok((message, _)) => assert_eq!(message, "m1"),
                    Err(error) => break error,
                }
            };
            assert!(error.is_retryable() == is_retryable && error.to_string().contains(told), "{error}");
            drop(line);
        }
        assert_eq!(far.received(), 1);
    }

    #[tokio::test]
    async fn repeated_missing_and_invented_numbers_are_refused() {
        let (near, far) = (Messages::default(), Messages::default());
        near.push("m1".to_owned(), Vec::new());
        near.push("m2".to_owned(), Vec::new());
        let bytes = written(&near, 0).await;
        let (all, _) = received(&far, bytes.clone()).await;
        assert_eq!(all.len(), 2);
        let (none, error) = received(&far, bytes).await;
        assert!(none.is_empty() && !error.is_retryable(), "{error}");
        let (none, error) = received(&Messages::default(), written(&near, 1).await).await;
        assert!(none.is_empty() && !error.is_retryable(), "{error}");
        assert!(!near.acknowledge(3).unwrap_err().is_retryable());
        near.acknowledge(2).unwrap();
        assert!(!near.acknowledge(1).unwrap_err().is_retryable());
    }

    #[tokio::test]
    async fn acknowledged_messages_take_no_memory_and_too_many_others_end_the_connection() {
        let outbox = Messages::default();
        for number in 1..=10 {
            outbox.push(String::new(), vec![0; MAX_KEPT_BYTES / 2]);
            outbox.acknowledge(number).unwrap();
        }
        assert_eq!(outbox.state().kept_bytes, 0);
        for _ in 0..3 {
            outbox.push(String::new(), vec![0; MAX_KEPT_BYTES / 2]);
        }
        let error = outbox.wait_for_overflow().await;
        assert!(!error.is_retryable() && error.kind() == ErrorKind::Connection, "{error}");
    }
}

//! A control connection that breaks and is made again, between the code of the agent and a test that takes the coordinator's
//! part.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt as _, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::RunningCalls;
use super::coordinator::CoordinatorClient;
use super::coordinator_connection::CoordinatorConnection;
use super::lane_listener::{LaneListener, connect_lane};
use super::service::AgentService;
use super::tests::{FakeSink, FakeSource, Log, taken};
use crate::error::Error;
use crate::remote::frame::{FrameReader, FrameWriter, json_body};
use crate::remote::message::{AgentCall, AgentMessage, CoordinatorMessage, LaneAddress, LaneRequest, LaneResponse};
use crate::remote::outbox::{Outbox, read_message, write_messages};

/// An agent, and the first connection to it.
struct Agent {
    address: LaneAddress,
    log: Log,
    stream: UnixStream,
    /// Returns why the agent has ended.
    serving: JoinHandle<Option<Error>>,
}

impl Agent {
    fn start() -> Self {
        let outbox = Arc::<Outbox<AgentMessage>>::default();
        let coordinator = Arc::new(CoordinatorClient::new(outbox.clone()));
        let (service, log) = (Arc::new(AgentService::new(coordinator.clone())), Log::default());
        service.set_ends(Arc::new(FakeSource::default()), Arc::new(FakeSink(log.clone())));
        let listener = LaneListener::bind().unwrap();
        let address = listener.address.clone();
        let (sender, attachments) = mpsc::channel(1);
        tokio::spawn(listener.serve(service.clone(), sender));
        let (stream, far) = UnixStream::pair().unwrap();
        let (input, output) = far.into_split();
        let (reader, writer) = (FrameReader::new(input), FrameWriter::new(output));
        let mut connection = CoordinatorConnection::new(reader, writer, outbox, attachments);
        let serving = tokio::spawn(async move {
            RunningCalls::default().handle_messages(&mut connection, &coordinator, &service).await
        });
        Self { address, log, stream, serving }
    }
}

/// Asks the agent for a new connection, and closes it. Returns the number of the last message that the agent has received;
/// `None` if the agent refuses.
async fn attach(address: &LaneAddress, attempt: u64, received: u64) -> Option<u64> {
    let (input, output) = connect_lane(address).await.unwrap().into_split();
    let (mut reader, mut writer) = (FrameReader::new(input), FrameWriter::new(output));
    writer.send(&LaneRequest::Attach { attempt, received }, &[]).await.unwrap();
    match reader.read_frame().await {
        Ok(Some((LaneResponse::Attached { received }, _))) => Some(received),
        Ok(Some(_)) => panic!("another response"),
        Ok(None) | Err(_) => None,
    }
}

/// A stream that takes some bytes and then fails.
struct CutWriter<W> {
    stream: W,
    left: usize,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CutWriter<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let taken = bytes.len().min(self.left);
        if taken == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, &bytes[..taken]);
        if let Poll::Ready(Ok(count)) = written {
            self.left -= count;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The coordinator's side of the connection.
#[derive(Default)]
struct Coordinator {
    outbox: Outbox<CoordinatorMessage>,
    /// The number of the last message that the agent has.
    sent: u64,
    attempts: u64,
    /// The calls whose results have arrived, in order.
    results: Vec<u64>,
}

impl Coordinator {
    /// Transfers messages until the stream has taken or given this many bytes, or all results are there.
    async fn transfer(&mut self, mut reader: FrameReader, mut writer: FrameWriter, calls: usize) {
        let (outbox, results) = (&self.outbox, &mut self.results);
        let read = async {
            while results.len() < calls {
                match read_message::<AgentMessage, _>(&mut reader, outbox).await {
                    Ok((AgentMessage::CallResult { id }, _)) => results.push(id),
                    Ok(_) => panic!("another message"),
                    Err(error) => return assert!(error.is_retryable(), "{error}"),
                }
            }
        };
        tokio::select! {
            () = read => {}
            written = write_messages(outbox, &mut writer, self.sent) => assert!(written.is_err()),
        }
    }

    /// Makes the connection again, and returns its streams. The first response may be followed by messages.
    async fn attach(&mut self, address: &LaneAddress, cut_after: usize) -> (FrameReader, FrameWriter) {
        self.attempts += 1;
        let (input, output) = connect_lane(address).await.unwrap().into_split();
        // The exchange itself is not cut here.
        let mut writer = FrameWriter::new(CutWriter { stream: output, left: cut_after + 200 });
        let mut reader = FrameReader::new(input.take(cut_after as u64 + 200));
        let request = LaneRequest::Attach { attempt: self.attempts, received: self.outbox.received() };
        writer.send(&request, &[]).await.unwrap();
        let (response, _) = reader.read_frame().await.unwrap().unwrap();
        let LaneResponse::Attached { received } = response else { panic!("another response") };
        self.outbox.acknowledge(received).unwrap();
        self.sent = received;
        (reader, writer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_runs_once_and_has_one_result_however_often_the_connection_breaks() {
    const CALLS: usize = 400;
    for seed in 1..=5_usize {
        let agent = Agent::start();
        let mut coordinator = Coordinator::default();
        for id in 1..=CALLS as u64 {
            let call = AgentCall::RequestCutOver { job: format!("{id:03}"), verify: None };
            coordinator.outbox.push(CoordinatorMessage::Call { id }, json_body(&call));
        }
        let (input, output) = agent.stream.into_split();
        let mut cut_after = 777 * seed;
        let first = CutWriter { stream: output, left: cut_after };
        let (mut reader, mut writer) = (FrameReader::new(input.take(999)), FrameWriter::new(first));
        loop {
            coordinator.transfer(reader, writer, CALLS).await;
            if coordinator.results.len() == CALLS {
                break;
            }
            cut_after = (cut_after * 37 + 11 * seed) % 4001;
            (reader, writer) = coordinator.attach(&agent.address, cut_after).await;
        }
        assert!(coordinator.attempts > 10, "{} attempts", coordinator.attempts);
        coordinator.results.sort_unstable();
        assert!(coordinator.results.iter().copied().eq(1..=CALLS as u64), "{:?}", coordinator.results);
        let mut calls = taken(&agent.log);
        calls.sort_unstable();
        assert!(calls.iter().cloned().eq((1..=CALLS).map(|id| format!("{id:03}"))), "{calls:?}");
        let (reader, writer) = coordinator.attach(&agent.address, 4000).await;
        coordinator.outbox.push(CoordinatorMessage::Shutdown, Vec::new());
        coordinator.outbox.close();
        let mut writer = writer;
        write_messages(&coordinator.outbox, &mut writer, coordinator.sent).await.unwrap();
        assert!(agent.serving.await.unwrap().is_none());
        drop(reader);
    }
}

#[tokio::test]
async fn only_a_later_attempt_with_possible_numbers_becomes_the_connection() {
    let agent = Agent::start();
    assert_eq!(attach(&agent.address, 3, 0).await, Some(0));
    for (attempt, received) in [(3, 0), (2, 0), (4, 1), (5, u64::MAX)] {
        assert!(attach(&agent.address, attempt, received).await.is_none(), "{attempt} {received}");
    }
    assert_eq!(attach(&agent.address, 4, 0).await, Some(0));
    // Another token gets no answer at all.
    let address = LaneAddress { token: "0".repeat(agent.address.token.len()), ..agent.address.clone() };
    assert!(attach(&address, 9, 0).await.is_none());
    assert_eq!(attach(&agent.address, 9, 0).await, Some(0));
    assert!(!agent.serving.is_finished());
}

#[tokio::test]
async fn an_agent_without_a_coordinator_ends_when_another_process_asks_for_the_clone() {
    let agent = Agent::start();
    // The request alone ends nothing.
    agent.log.lock().unwrap().push(super::tests::TAKEOVER.to_owned());
    tokio::task::yield_now().await;
    assert!(!agent.serving.is_finished());
    drop(agent.stream);
    let error = agent.serving.await.unwrap().unwrap();
    assert!(error.to_string().contains("takes the clone over"), "{error}");
}

#[tokio::test]
async fn a_job_that_is_dropped_ends_the_agent_at_once() {
    let agent = Agent::start();
    let coordinator = Coordinator::default();
    coordinator.outbox.push(CoordinatorMessage::Suspend, Vec::new());
    coordinator.outbox.close();
    let (_input, output) = agent.stream.into_split();
    write_messages(&coordinator.outbox, &mut FrameWriter::new(output), 0).await.unwrap();
    let error = agent.serving.await.unwrap().unwrap();
    assert!(error.to_string().contains("dropped"), "{error}");
}

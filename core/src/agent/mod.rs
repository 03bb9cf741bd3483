//! The agent: serves the coordinator of a job on several sites over standard input and output.

mod change_lane;
mod coordinator;
mod coordinator_connection;
mod coordinator_observer;
mod lane_listener;
mod lane_server;
mod offers;
mod open_applier;
#[cfg(test)]
mod reattachment_tests;
mod remote_signer;
mod service;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::coordinator::CoordinatorClient;
use self::coordinator_connection::{CoordinatorConnection, coordinator_lost};
use self::lane_listener::{LaneListener, connect_lane};
use self::service::AgentService;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::frame::{FrameReader, FrameWriter, json_body};
use crate::remote::message::{AgentCall, AgentMessage, CoordinatorMessage, LaneAddress, ProcessRole};
use crate::remote::outbox::Outbox;
use crate::remote::{HANDSHAKE_PREFIX, KEEPALIVE_TIMEOUT, handshake_version};

/// How long the end of the work may take after the coordinator was lost.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(60);
/// The size of each buffer between a lane and its SSH connection, in bytes.
const RELAY_BUFFER: usize = 256 << 10;

/// Serves the coordinator at the other end of `input` and `output` (standard input and output of `dbgraft agent`) until
/// it shuts the agent down or is lost. After a loss the agent leaves what another process can resume, and removes the rest.
///
/// # Errors
/// `Connection` when the coordinator was lost, after the work has ended; `Usage` when the peer is no coordinator.
pub async fn serve_agent(
    input: impl AsyncRead + Send + Sync + Unpin + 'static,
    mut output: impl AsyncWrite + Send + Sync + Unpin + 'static,
) -> Result<()> {
    let handshake = format!("{HANDSHAKE_PREFIX}{}\n", handshake_version());
    let send_handshake = async {
        output.write_all(handshake.as_bytes()).await?;
        output.flush().await
    };
    send_handshake.await.map_err(|error| coordinator_lost("it does not listen").caused_by(error))?;
    let mut reader = FrameReader::new(input);
    match timeout(KEEPALIVE_TIMEOUT, reader.read_frame::<ProcessRole>()).await {
        Ok(Ok(Some((ProcessRole::Agent, _)))) => serve_job(reader, FrameWriter::new(output)).await,
        Ok(Ok(Some((ProcessRole::LaneRelay(address), _)))) => relay_lane(reader, output, &address).await,
        _ => Err(Error::usage("`dbgraft agent` is started by another dbgraft, over SSH: see --source-agent")),
    }
}

/// Relays a lane between the coordinator and the agent at this address, until either side closes it.
async fn relay_lane(reader: FrameReader, mut output: impl AsyncWrite + Unpin, address: &LaneAddress) -> Result<()> {
    let (from_agent, mut to_agent) = connect_lane(address).await?.into_split();
    let mut requests = BufReader::with_capacity(RELAY_BUFFER, reader.into_inner());
    let mut responses = BufReader::with_capacity(RELAY_BUFFER, from_agent);
    let closed = tokio::select! {
        closed = copy_buf(&mut requests, &mut to_agent) => closed,
        closed = copy_buf(&mut responses, &mut output) => closed,
    };
    closed.map(drop).map_err(|error| coordinator_lost("a stream of rows broke").caused_by(error))
}

/// Serves the calls and lanes of a job.
async fn serve_job(reader: FrameReader, mut writer: FrameWriter) -> Result<()> {
    let outbox = Arc::<Outbox<AgentMessage>>::default();
    let coordinator = Arc::new(CoordinatorClient::new(outbox.clone()));
    let service = Arc::new(AgentService::new(coordinator.clone()));
    let listener = LaneListener::bind()?;
    writer.send(&listener.address, &[]).await?;
    let (sender, attachments) = mpsc::channel(1);
    let lanes = tokio::spawn(listener.serve(service.clone(), sender));
    let mut connection = CoordinatorConnection::new(reader, writer, outbox.clone(), attachments);
    let mut calls = RunningCalls::default();
    let loss = tokio::select! {
        loss = calls.handle_messages(&mut connection, &coordinator, &service) => loss,
        signal = wait_for_signal() => Some(signal),
        error = outbox.wait_for_overflow() => Some(coordinator_lost(&error.to_string())),
    };
    lanes.abort();
    calls.cancel_all().await;
    coordinator.disconnect();
    let Some(loss) = loss else { return Ok(()) };
    match timeout(SUSPEND_TIMEOUT, service.suspend()).await {
        Ok(Ok(())) => Err(loss),
        Ok(Err(error)) => Err(loss.with("not cleaned up:", error)),
        Err(_) => Err(loss.with("not cleaned up:", "it took too long")),
    }
}

/// The calls that run now, by number.
#[derive(Default)]
struct RunningCalls(HashMap<u64, JoinHandle<()>>);

impl RunningCalls {
    /// Handles the coordinator's messages. Returns `None` after `Shutdown`, and otherwise the error that ended them.
    async fn handle_messages(
        &mut self,
        connection: &mut CoordinatorConnection,
        coordinator: &Arc<CoordinatorClient>,
        service: &Arc<AgentService>,
    ) -> Option<Error> {
        loop {
            let (message, body) = match connection.receive(service).await {
                Ok(frame) => frame,
                Err(error) => return Some(error),
            };
            self.0.retain(|_, call| !call.is_finished());
            match message {
                CoordinatorMessage::Call { id } => self.start(id, &body, coordinator, service),
                CoordinatorMessage::Cancel { id } => {
                    if let Some(call) = self.0.remove(&id) {
                        cancel(call).await;
                    }
                }
                CoordinatorMessage::Export(event) => service.push_export_event(event),
                CoordinatorMessage::SetPaused(paused) => service.set_paused(paused),
                CoordinatorMessage::Reply { id } => coordinator.handle_reply(id, body),
                CoordinatorMessage::Shutdown => return None,
                CoordinatorMessage::Suspend => return Some(coordinator_lost("its job was dropped")),
            }
        }
    }

    /// Starts a call; its task sends the result.
    fn start(&mut self, id: u64, body: &[u8], coordinator: &Arc<CoordinatorClient>, service: &Arc<AgentService>) {
        let call: Result<AgentCall> = serde_json::from_slice(body)
            .map_err(|error| Error::new(ErrorKind::Internal, "the agent cannot parse a call").caused_by(error));
        let (coordinator, service) = (coordinator.clone(), service.clone());
        let task = tokio::spawn(async move {
            let result = match call {
                Ok(call) => service.execute(id, call).await,
                Err(error) => Err(error),
            };
            coordinator.send(AgentMessage::CallResult { id }, json_body(&result));
        });
        self.0.insert(id, task);
    }

    async fn cancel_all(self) {
        for (_, call) in self.0 {
            cancel(call).await;
        }
    }
}

/// Cancels a call and waits for its end: the end of the sink must not meet its work.
async fn cancel(call: JoinHandle<()>) {
    call.abort();
    let _ = call.await;
}

/// Waits for a signal that ends the process. SIGHUP may only say that the login is gone, and ends nothing.
async fn wait_for_signal() -> Error {
    let _hangups = signal(SignalKind::hangup());
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| {
        Box::pin(async move {
            match signal(kind) {
                Ok(mut signals) => drop(signals.recv().await),
                Err(_) => std::future::pending().await,
            }
        })
    });
    futures::future::select_all(signals).await;
    Error::new(ErrorKind::Cancelled, "the agent was ended by a signal")
}

//! The other side of a job that runs on several sites: serves a coordinator over standard input and output.

mod lanes;
mod lender;
mod pace;
mod service;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::lanes::Entrance;
use self::service::Service;
use crate::error::{Error, ErrorKind, Result};
use crate::remote::message::{Call, Door, Order, Word};
use crate::remote::wire::{Reader, Writer};
use crate::remote::{GREETING, HEARTBEAT, LONGEST_MESSAGE, SILENCE};

/// How long the cleaning up after a coordinator that is gone may take.
const CLEANING: Duration = Duration::from_secs(60);
/// What is copied at once between a lane and its connection.
const PIECE: usize = 256 << 10;

/// Serves the coordinator at the other end of `input` and `output` (standard input and output of `dbgraft agent`) until it
/// goes away. What a job has begun and not ended is then undone.
///
/// # Errors
/// `Connection` when the coordinator was lost, after the cleaning up; `Usage` when no coordinator is there at all.
pub async fn serve_agent(
    input: impl AsyncRead + Send + Sync + Unpin + 'static,
    mut output: impl AsyncWrite + Send + Sync + Unpin + 'static,
) -> Result<()> {
    let greeting = format!("{GREETING}{}\n", env!("CARGO_PKG_VERSION"));
    let greet = async {
        output.write_all(greeting.as_bytes()).await?;
        output.flush().await
    };
    greet.await.map_err(|error| lost("it does not listen").caused_by(error))?;
    let mut reader = Reader::new(input);
    match timeout(SILENCE, reader.frame::<Order>()).await {
        Ok(Ok(Some((Order::Serve, _)))) => serve(reader, Writer::new(output)).await,
        Ok(Ok(Some((Order::Join(door), _)))) => carry(reader, output, &door).await,
        _ => Err(Error::usage("`dbgraft agent` is started by another dbgraft, over SSH: see --source-agent")),
    }
}

/// Carries a lane between the coordinator and the agent behind the door, until either goes away.
async fn carry(reader: Reader, mut output: impl AsyncWrite + Unpin, door: &Door) -> Result<()> {
    let (from_agent, mut to_agent) = lanes::knock(door).await?.into_split();
    let mut input = BufReader::with_capacity(PIECE, reader.into_inner());
    let mut answers = BufReader::with_capacity(PIECE, from_agent);
    let carried = tokio::select! {
        carried = copy_buf(&mut input, &mut to_agent) => carried,
        carried = copy_buf(&mut answers, &mut output) => carried,
    };
    carried.map(drop).map_err(|error| lost("a stream of rows broke").caused_by(error))
}

async fn serve(mut reader: Reader, writer: Writer) -> Result<()> {
    let (words, outgoing) = mpsc::unbounded_channel();
    let speaking = tokio::spawn(speak(writer, outgoing));
    let service = Arc::new(Service::new(words));
    let entrance = Entrance::open()?;
    service.tell(Word::Ready(entrance.door.clone()), Vec::new());
    let lanes = tokio::spawn(entrance.admit(service.clone()));
    let mut calls = Calls::default();
    let why = tokio::select! {
        why = calls.obey(&mut reader, &service) => why,
        why = ended() => Some(why),
    };
    lanes.abort();
    calls.stop().await;
    service.lose();
    let Some(why) = why else { return Ok(()) };
    let undone = timeout(CLEANING, service.abandon()).await;
    speaking.abort();
    match undone {
        Ok(Ok(())) => Err(why),
        Ok(Err(error)) => Err(why.with("not cleaned up:", error)),
        Err(_) => Err(why.with("not cleaned up:", "it took too long")),
    }
}

/// The calls that are being carried out, by their numbers.
#[derive(Default)]
struct Calls(HashMap<u64, JoinHandle<()>>);

impl Calls {
    /// Carries out what the coordinator orders; why it came to an end, unless the coordinator said farewell.
    async fn obey(&mut self, reader: &mut Reader, service: &Arc<Service>) -> Option<Error> {
        loop {
            let (order, body) = match next(reader).await {
                Ok(frame) => frame,
                Err(error) => return Some(error),
            };
            self.0.retain(|_, call| !call.is_finished());
            match order {
                Order::Call { id } => self.begin(id, &body, service),
                Order::Forget { id } => {
                    if let Some(call) = self.0.remove(&id) {
                        stop(call).await;
                    }
                }
                Order::Staged(staged) => service.feed(staged),
                Order::Given { id } => service.given(id, body),
                Order::Farewell => return None,
                Order::Alive | Order::Serve | Order::Join(_) => {}
            }
        }
    }

    fn begin(&mut self, id: u64, body: &[u8], service: &Arc<Service>) {
        let call: Result<Call> = serde_json::from_slice(body)
            .map_err(|error| Error::new(ErrorKind::Internal, "the agent does not understand a call").caused_by(error));
        let served = service.clone();
        let task = tokio::spawn(async move {
            let answer = match call {
                Ok(call) => served.carry_out(id, call).await,
                Err(error) => Err(error),
            };
            served.tell(Word::Answer { id }, service::encoded(&answer));
        });
        self.0.insert(id, task);
    }

    async fn stop(self) {
        for (_, call) in self.0 {
            stop(call).await;
        }
    }
}

/// Stops a call. What it was doing is over when this returns, so that it can be undone.
async fn stop(call: JoinHandle<()>) {
    call.abort();
    let _ = call.await;
}

/// The next order.
async fn next(reader: &mut Reader) -> Result<(Order, Bytes)> {
    match timeout(SILENCE, reader.head::<Order>()).await {
        Ok(Ok(Some((order, _)))) => match timeout(LONGEST_MESSAGE, reader.body()).await {
            Ok(body) => Ok((order, body?)),
            Err(_) => Err(lost("a message of it took too long")),
        },
        Ok(Ok(None)) => Err(lost("it closed the connection")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(lost("it was silent for too long")),
    }
}

/// Says what there is to say, and between that we are still here.
async fn speak(mut writer: Writer, mut words: mpsc::UnboundedReceiver<(Word, Vec<u8>)>) {
    loop {
        let said = match timeout(HEARTBEAT, words.recv()).await {
            Ok(Some((word, body))) => writer.send(&word, &body).await,
            Ok(None) => return,
            Err(_) => writer.send(&Word::Alive, &[]).await,
        };
        if said.is_err() {
            return;
        }
    }
}

/// Waits until somebody wants this process to end.
async fn ended() -> Error {
    let waiting = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(|kind| {
        Box::pin(async move {
            match signal(kind) {
                Ok(mut signals) => drop(signals.recv().await),
                Err(_) => std::future::pending().await,
            }
        })
    });
    futures::future::select_all(waiting).await;
    Error::new(ErrorKind::Cancelled, "the agent was ended by a signal")
}

fn lost(why: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("the coordinator is lost: {why}"))
}

//! Where lanes come in, and what is done for them.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use rustls::crypto::ring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::service::{Service, encoded};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Chunk, TablePlan};
use crate::remote::message::{Door, End, Gift, Parcel, Wish};
use crate::remote::wire::{Reader, Writer};
use crate::remote::{pack, unpack};

/// How long a process that comes in may take to show its token.
const PATIENCE: Duration = Duration::from_secs(10);
/// How large a batch is aimed at, in bytes: small, for a line that is to be busy from the first moment to the last.
const BATCH: usize = 4 << 20;

/// A socket in Linux's abstract namespace: it has no file that could stay, and goes with this process.
pub(super) struct Entrance {
    listener: UnixListener,
    pub(super) door: Door,
}

impl Entrance {
    pub(super) fn open() -> Result<Self> {
        let door = Door { socket: format!("dbgraft-{}", random()?), token: random()? };
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Internal, "the agent cannot listen on this machine").caused_by(error)
        };
        let listener = SocketAddr::from_abstract_name(&door.socket)
            .and_then(|address| StdListener::bind_addr(&address))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        Ok(Self { listener: listener.and_then(UnixListener::from_std).map_err(failed)?, door })
    }

    /// Lets in whoever has the token and is of the same account, and serves them all until dropped.
    pub(super) async fn admit(self, service: Arc<Service>) {
        let mut lanes = JoinSet::new();
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            let (service, token) = (service.clone(), self.door.token.clone());
            lanes.spawn(async move {
                if let Some(stream) = checked(stream, &token).await {
                    // Whoever is at the other end sees that it broke.
                    let _ = serve(stream, &service).await;
                }
            });
            while lanes.try_join_next().is_some() {}
        }
    }
}

/// 32 hexadecimal digits that nobody can guess.
fn random() -> Result<String> {
    let mut bytes = [0; 16];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Internal, "this machine gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Connects to the agent behind the door.
pub(super) async fn knock(door: &Door) -> Result<UnixStream> {
    let connect = || {
        let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(&door.socket)?)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let failed = |error: std::io::Error| Error::new(ErrorKind::Connection, "the agent is gone").caused_by(error);
    let mut stream = connect().map_err(failed)?;
    stream.write_all(door.token.as_bytes()).await.map_err(failed)?;
    Ok(stream)
}

async fn checked(mut stream: UnixStream, token: &str) -> Option<UnixStream> {
    let own = std::fs::metadata("/proc/self").ok()?.uid();
    if stream.peer_cred().ok()?.uid() != own {
        return None;
    }
    let mut shown = vec![0; token.len()];
    timeout(PATIENCE, stream.read_exact(&mut shown)).await.ok()?.ok()?;
    (shown == token.as_bytes()).then_some(stream)
}

/// Fulfils one wish after the other.
async fn serve(stream: UnixStream, service: &Service) -> Result<()> {
    let (input, output) = stream.into_split();
    let (mut reader, mut writer) = (Reader::new(input), Writer::new(output));
    while let Some((wish, _)) = reader.head::<Wish>().await? {
        let done = match wish {
            Wish::Read { end, table, chunk } => {
                reader.body().await?;
                read(service, (end, &table, &chunk), &mut reader, &mut writer).await
            }
            Wish::Write { table, batch } => write(service, &table, batch, &mut reader, &mut writer).await,
            Wish::Take => Err(Failure::Line(Error::new(ErrorKind::Internal, "nothing was offered"))),
        };
        match done {
            Ok(()) => {}
            Err(Failure::Work(error)) => writer.send(&Gift::Failed, &encoded(&error)).await?,
            Err(Failure::Line(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Why a wish was not fulfilled.
enum Failure {
    /// To be told over the lane.
    Work(Error),
    /// The lane itself is of no use any more.
    Line(Error),
}

async fn read(
    service: &Service,
    (end, table, chunk): (End, &TablePlan, &Chunk),
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<(), Failure> {
    let memory = service.memory().with_max_batch_bytes(BATCH);
    let (source, sink);
    let rows = match end {
        End::Source => {
            source = service.source().map_err(Failure::Work)?;
            source.read(table, chunk, &memory).await
        }
        End::Sink => {
            sink = service.sink().map_err(Failure::Work)?;
            sink.read_back(table, chunk, &memory).await
        }
    };
    let mut rows = rows.map_err(Failure::Work)?;
    let (packer, mut packed) = mpsc::channel(1);
    // While a batch is on the line the next one is read and packed. The packed form is what waits.
    let packing = async move {
        while let Some(batch) = rows.next().await {
            let next = match batch {
                Ok(batch) => pack(&batch).await,
                Err(error) => Err(error),
            };
            if packer.send(next).await.is_err() {
                break;
            }
        }
        drop(packer);
        std::future::pending().await
    };
    let sending = async {
        while let Some(next) = packed.recv().await {
            let (parcel, body) = next.map_err(Failure::Work)?;
            hand_over(parcel, body, reader, writer).await.map_err(Failure::Line)?;
        }
        writer.send(&Gift::End, &[]).await.map_err(Failure::Line)
    };
    tokio::select! {
        sent = sending => sent,
        never = packing => never,
    }
}

/// Offers a batch and sends it when it is taken.
async fn hand_over(parcel: Parcel, body: Bytes, reader: &mut Reader, writer: &mut Writer) -> Result<()> {
    writer.send(&Gift::Offer(parcel), &[]).await?;
    match reader.frame::<Wish>().await? {
        Some((Wish::Take, _)) => writer.send(&Gift::Batch, &body).await,
        _ => Err(Error::new(ErrorKind::Connection, "the batch is not wanted any more")),
    }
}

async fn write(
    service: &Service,
    table: &TablePlan,
    parcel: Parcel,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<(), Failure> {
    let sink = service.sink().map_err(Failure::Work)?;
    // Until there is room the rows wait on the line.
    let lease = service.memory().reserve(parcel.bytes.saturating_add(parcel.packed)).await;
    let packed = reader.body().await.map_err(Failure::Line)?;
    let batch = unpack(parcel, packed, lease).await.map_err(Failure::Work)?;
    let _turn = service.turn().await;
    let receipt = sink.write(table, batch).await.map_err(Failure::Work)?;
    writer.send(&Gift::Receipt, &encoded(&receipt)).await.map_err(Failure::Line)
}

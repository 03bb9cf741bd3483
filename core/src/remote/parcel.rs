//! Batches to parcels, and back.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::message::Parcel;
use crate::batch::Batch;
use crate::codec::{Digest, compress, decompress};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::MemoryLease;

/// Compresses a batch.
pub(crate) async fn pack(batch: &Batch) -> Result<(Parcel, Bytes)> {
    let Batch { id, rows, digest, .. } = *batch;
    let data = batch.data.clone();
    let bytes = data.len();
    let packed = spawn_blocking(move || compress(&data)).await.map_err(|error| damaged("packed", error))?;
    let packed = packed.map_err(|error| damaged("packed", error).with("batch", id))?;
    Ok((Parcel { id, rows, bytes, packed: packed.len(), digest }, packed))
}

/// Undoes [`pack`]: gives the rows only if they are those that were sent. The lease covers both forms, and keeps what the
/// text takes.
pub(crate) async fn unpack(parcel: Parcel, packed: Bytes, mut lease: MemoryLease) -> Result<Batch> {
    let Parcel { id, rows, bytes, digest, .. } = parcel;
    let work = move || {
        let data = decompress(&packed, bytes)?;
        let arrived = Digest::from_text(&data);
        let same = arrived == digest && arrived.rows == rows;
        same.then_some(data).ok_or_else(|| std::io::Error::other("its rows are not those that were sent"))
    };
    let data = spawn_blocking(work).await.map_err(|error| damaged("unpacked", error))?;
    let data = data.map_err(|error| damaged("unpacked", error).with("batch", id))?;
    lease.shrink(bytes);
    Ok(Batch::new(id, rows, data, digest).with_lease(lease))
}

fn damaged(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Data, format!("a batch could not be {what}")).caused_by(error)
}

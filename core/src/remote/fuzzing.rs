//! The fuzz target of the messages between a coordinator and an agent.

use super::batch_frame::BatchFrame;
use super::change_frame::ChangeFrame;
use super::frame::FrameReader;
use super::message::{AgentCall, AgentMessage, CoordinatorMessage, LaneRequest, LaneResponse, ProcessRole};
use super::outbox::{Outbox, read_message};
use crate::memory::MemoryBudget;

/// The memory that a frame may ask for.
const MEMORY: u64 = 4 << 20;

/// Reads the bytes as frames of each kind, to their end.
pub fn agent_frames(data: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    runtime.block_on(async {
        let reader = || FrameReader::new(std::io::Cursor::new(data.to_vec()));
        let mut frames = reader();
        while read_message::<AgentMessage, _>(&mut frames, &Outbox::<CoordinatorMessage>::default()).await.is_ok() {}
        let mut frames = reader();
        while read_message::<CoordinatorMessage, _>(&mut frames, &Outbox::<AgentMessage>::default()).await.is_ok() {}
        let mut frames = reader();
        while let Ok(Some(_)) = frames.read_frame::<ProcessRole>().await {}
        let mut frames = reader();
        while let Ok(Some((_, body))) = frames.read_frame::<LaneRequest>().await {
            let _ = serde_json::from_slice::<AgentCall>(&body);
        }
        let mut frames = reader();
        while let Ok(Some(_)) = frames.read_frame::<LaneResponse>().await {}
        let mut frames = reader();
        while let Ok(Some((changes, body))) = frames.read_frame::<ChangeFrame>().await {
            if changes.content_bytes() as u64 <= MEMORY {
                let lease = changes.reserve(&MemoryBudget::new(2 * MEMORY, 1)).await;
                let _ = changes.decompress(body, lease).await;
            }
        }
        let mut frames = reader();
        while let Ok(Some((batch, body))) = frames.read_frame::<BatchFrame>().await {
            if batch.memory_bytes() as u64 <= MEMORY {
                let lease = MemoryBudget::new(2 * MEMORY, 1).reserve(batch.memory_bytes()).await;
                let _ = batch.decompress(body, lease).await;
            }
        }
    });
}

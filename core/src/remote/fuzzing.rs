//! The fuzz target of the messages between a coordinator and an agent.

use super::batch_frame::BatchFrame;
use super::frame::FrameReader;
use super::message::{AgentMessage, CoordinatorMessage};
use crate::memory::MemoryBudget;

/// The memory of a batch that a frame may ask for.
const MEMORY: u64 = 4 << 20;

/// Reads the bytes as frames of each kind, to their end.
pub fn agent_frames(data: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    runtime.block_on(async {
        let reader = || FrameReader::new(std::io::Cursor::new(data.to_vec()));
        let mut frames = reader();
        while let Ok(Some(_)) = frames.read_frame::<AgentMessage>().await {}
        let mut frames = reader();
        while let Ok(Some(_)) = frames.read_frame::<CoordinatorMessage>().await {}
        let mut frames = reader();
        while let Ok(Some((batch, body))) = frames.read_frame::<BatchFrame>().await {
            if batch.memory_bytes() as u64 <= MEMORY {
                let lease = MemoryBudget::new(2 * MEMORY, 1).reserve(batch.memory_bytes()).await;
                let _ = batch.decompress(body, lease).await;
            }
        }
    });
}

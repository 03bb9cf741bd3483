//! The writer: existing archives, gaps, aborts and removal.

use tokio::sync::{Notify, Semaphore};

use super::*;

#[tokio::test]
async fn an_archive_with_a_gap_is_not_finished() {
    let store = Arc::new(memory::MemoryStore::default());
    let writer = ArchiveWriter::new(store.clone(), false);
    let plan = plan();
    writer.begin(&plan).await.unwrap();
    writer.write(&plan.tables[2], batch(2, 0, 1)).await.unwrap();
    assert_eq!(writer.finish(&plan).await.unwrap_err().kind(), ErrorKind::Internal);
    assert!(!store.objects().contains_key(MANIFEST));
}

#[tokio::test]
async fn an_existing_archive_is_kept_without_overwrite() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let before = store.objects().clone();
    let second = ArchiveWriter::new(store.clone(), false);
    let findings = second.check(&catalog(), &Selection::default()).await.unwrap();
    assert!(findings[0].message.starts_with("an archive is already at memory:///: choose another prefix"));
    assert_eq!(second.begin(&plan()).await.unwrap_err().kind(), ErrorKind::Preflight);
    second.abort().await.unwrap();
    assert_eq!(*store.objects(), before, "an abort before the beginning touches nothing");

    store.objects().insert("data/0/notes.txt".into(), Bytes::new());
    store.objects().insert("data/9/9-9.tsv.zst".into(), Bytes::new());
    let third = ArchiveWriter::new(store.clone(), true);
    assert_eq!(third.check(&catalog(), &Selection::default()).await.unwrap(), []);
    third.begin(&plan()).await.unwrap();
    assert_eq!(store.objects().keys().collect::<Vec<_>>(), ["data/0/notes.txt", PLAN], "only ours go");
}

#[tokio::test]
async fn a_removed_archive_leaves_nothing() {
    let store = Arc::new(memory::MemoryStore::default());
    let writer = export(&store).await;
    writer.remove().await.unwrap();
    assert!(store.objects().is_empty());
    writer.abort().await.unwrap();
    assert_eq!(writer.write(&plan().tables[1], batch(1, 0, 0)).await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(store.objects().is_empty());
}

/// A store whose puts of batches wait for the test.
#[derive(Debug)]
struct GatedStore {
    inner: memory::MemoryStore,
    started: Notify,
    gate: Semaphore,
}

#[async_trait]
impl ObjectStore for GatedStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        if key.starts_with("data/") {
            self.started.notify_one();
            self.gate.acquire().await.unwrap().forget();
        }
        self.inner.put(key, data).await
    }
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        self.inner.find(key, limit).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix).await
    }
    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.inner.remove(keys).await
    }
    fn url(&self, key: &str) -> String {
        self.inner.url(key)
    }
}

#[tokio::test]
async fn an_abort_removes_uploads_in_flight() {
    for stuck in [false, true] {
        let (inner, started, gate) = (memory::MemoryStore::default(), Notify::new(), Semaphore::new(0));
        let store = Arc::new(GatedStore { inner, started, gate });
        let writer = ArchiveWriter::new(store.clone(), false);
        let plan = plan();
        writer.begin(&plan).await.unwrap();
        // The engine drops the future when the job is cancelled.
        tokio::select! {
            _ = writer.write(&plan.tables[1], batch(1, 0, 0)) => panic!("the gate is closed"),
            () = store.started.notified() => {}
        }
        let open_gate = async {
            if !stuck {
                store.gate.add_permits(1);
            }
        };
        let (one, two, ()) = tokio::join!(writer.abort(), writer.abort(), open_gate);
        one.and(two).unwrap();
        assert!(store.inner.objects().is_empty());
        store.gate.add_permits(1);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(store.inner.objects().is_empty(), "nothing arrives later");
    }
}

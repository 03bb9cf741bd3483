//! Encrypted archives.

use super::*;
use crate::store::{ArchiveKey, EncryptedStore, HEADER, is_encrypted};

fn encrypted(store: &Arc<memory::MemoryStore>, key: u8) -> Arc<EncryptedStore> {
    Arc::new(EncryptedStore::new(store.clone(), Arc::new(ArchiveKey::File(vec![key; 32].into()))))
}

async fn export_encrypted(store: &Arc<memory::MemoryStore>, key: u8) -> ArchiveWriter {
    let writer = ArchiveWriter::new(encrypted(store, key), false);
    let plan = plan();
    assert_eq!(writer.check(&catalog(), &Selection::default()).await.unwrap(), []);
    assert!(store.objects().is_empty(), "a check leaves nothing");
    writer.begin(&plan).await.unwrap();
    for batch in batches() {
        writer.write(&plan.tables[batch.id.table as usize], batch).await.unwrap();
    }
    assert!(same(&read_back(&writer, &plan).await, &[batch(2, 1, 0)]));
    writer.finish(&plan).await.unwrap();
    writer
}

async fn read_back(writer: &ArchiveWriter, plan: &Plan) -> Vec<Batch> {
    let memory = MemoryBudget::new(1 << 20, 1);
    let chunk = writer.read_back(&plan.tables[2], &plan.tables[2].chunks[1], &memory).await.unwrap();
    chunk.try_collect().await.unwrap()
}

#[tokio::test]
async fn an_encrypted_archive_comes_back_and_leaves_nothing() {
    let store = Arc::new(memory::MemoryStore::default());
    let writer = export_encrypted(&store, 1).await;
    let objects = store.objects().clone();
    assert_eq!(objects.len(), 8);
    assert!(objects.iter().all(|(key, object)| is_encrypted(object) != (key == HEADER)));
    let reader = ArchiveReader::open(encrypted(&store, 1));
    let whole = reader.plan(&selection(&["empty", "../../etc/passwd", "orders"])).await.unwrap();
    assert_eq!(whole, plan());
    let rows = read(&reader, &whole, 2, 0).await.unwrap();
    assert!(same(&rows, &[batch(2, 0, 0), batch(2, 0, 1), batch(2, 0, 2)]));
    writer.remove().await.unwrap();
    assert!(store.objects().is_empty());
}

#[tokio::test]
async fn the_key_and_the_archive_must_fit() {
    let (secret, open) = (Arc::new(memory::MemoryStore::default()), Arc::new(memory::MemoryStore::default()));
    export_encrypted(&secret, 1).await;
    export(&open).await;
    let refused = async |store: Arc<dyn ObjectStore>| ArchiveReader::open(store).catalog().await.unwrap_err();
    let error = refused(secret.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Usage);
    let expected = "memory:///plan.json is encrypted: add --encrypt passphrase, or --encrypt key-file=FILE";
    assert_eq!(error.to_string(), expected);
    assert_eq!(refused(encrypted(&secret, 2)).await.kind(), ErrorKind::Authentication);
    let error = refused(encrypted(&open, 1)).await;
    assert_eq!(error.to_string(), "the archive at memory:/// is not encrypted: leave out --encrypt");
    secret.objects().remove(HEADER);
    assert_eq!(refused(encrypted(&secret, 1)).await.kind(), ErrorKind::Data);
    assert_eq!(refused(secret.clone()).await.kind(), ErrorKind::Usage);
}

/// Every key of the archive, with the object of every other one in its place.
#[tokio::test]
async fn no_object_can_take_the_place_of_another() {
    let (store, other) = (Arc::new(memory::MemoryStore::default()), Arc::new(memory::MemoryStore::default()));
    export_encrypted(&store, 1).await;
    export_encrypted(&other, 1).await;
    let (objects, foreign) = (store.objects().clone(), other.objects().clone());
    let swapped = objects.keys().flat_map(|key| {
        let others = objects.iter().filter(move |(name, _)| *name != key).chain(&foreign);
        others.map(move |(name, bad)| (key, name, bad))
    });
    // Each failure takes half a second, as objects that arrive damaged are read again.
    let refused = swapped.map(async |(key, name, bad)| {
        let store = Arc::new(memory::MemoryStore::default());
        *store.objects() = objects.clone();
        store.objects().insert(key.clone(), bad.clone());
        let error = read_all(&ArchiveReader::open(encrypted(&store, 1))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{name} in the place of {key}");
    });
    assert_eq!(futures::future::join_all(refused).await.len(), 8 * 15);
    read_all(&ArchiveReader::open(encrypted(&store, 1))).await.unwrap();
}

async fn read_all(reader: &ArchiveReader) -> Result<()> {
    reader.catalog().await?;
    let plan = plan();
    for (table, chunk) in [(0, 0), (1, 0), (2, 0), (2, 1)] {
        read(reader, &plan, table, chunk).await?;
    }
    Ok(())
}

/// The key of an existing archive does not matter: it stays, or it is replaced.
#[tokio::test]
async fn an_existing_archive_of_any_key_is_kept_or_replaced() {
    for (old, new) in [(Some(1), Some(2)), (Some(1), None), (None, Some(2)), (Some(1), Some(1))] {
        let store = Arc::new(memory::MemoryStore::default());
        match old {
            Some(key) => drop(export_encrypted(&store, key).await),
            None => drop(export(&store).await),
        }
        let before = store.objects().clone();
        let open = || -> Arc<dyn ObjectStore> {
            match new {
                Some(key) => encrypted(&store, key),
                None => store.clone(),
            }
        };
        let kept = ArchiveWriter::new(open(), false);
        let findings = kept.check(&catalog(), &Selection::default()).await.unwrap();
        assert!(findings[0].message.starts_with("an archive is already at memory:///: choose another prefix"));
        assert_eq!(kept.begin(&plan()).await.unwrap_err().kind(), ErrorKind::Preflight);
        assert_eq!(*store.objects(), before);

        let plan = Plan { tables: Vec::new(), ..plan() };
        let writer = ArchiveWriter::new(open(), true);
        assert_eq!(writer.check(&catalog(), &Selection::default()).await.unwrap(), []);
        writer.begin(&plan).await.unwrap();
        writer.finish(&plan).await.unwrap();
        assert_eq!(store.objects().contains_key(HEADER), new.is_some());
        assert_ne!(store.objects().get(HEADER), before.get(HEADER));
        assert_eq!(ArchiveReader::open(open()).catalog().await.unwrap().tables, []);
    }
}

/// What a killed export leaves first.
#[tokio::test]
async fn a_header_alone_is_an_unfinished_archive() {
    let store = Arc::new(memory::MemoryStore::default());
    encrypted(&store, 1).put(PLAN, Bytes::new()).await.unwrap();
    store.objects().remove(PLAN);
    for at in [store.clone() as Arc<dyn ObjectStore>, encrypted(&store, 2)] {
        let findings = ArchiveWriter::new(at, false).check(&catalog(), &Selection::default()).await.unwrap();
        assert!(findings[0].message.starts_with("an unfinished archive is already at"), "{findings:?}");
    }
    ArchiveWriter::new(encrypted(&store, 2), true).begin(&plan()).await.unwrap();
}

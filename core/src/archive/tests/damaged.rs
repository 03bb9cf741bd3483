//! Archives that are incomplete, edited or damaged.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn an_incomplete_archive_is_refused() {
    let store = Arc::new(memory::MemoryStore::default());
    let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
    assert_eq!(error.to_string(), "there is no archive at memory:///");
    export(&store).await;
    let manifest = store.objects().remove(MANIFEST).unwrap();
    let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
    assert_eq!(error.to_string(), "the archive at memory:/// is incomplete: its manifest.json is missing");
    store.objects().insert(MANIFEST.into(), manifest);
    store.objects().remove(PLAN).unwrap();
    let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
    assert_eq!(error.to_string(), "the archive at memory:/// is incomplete: its plan.json is missing");
}

/// A batch missing in the manifest would be a silent loss of rows.
#[tokio::test]
async fn an_edited_manifest_or_plan_is_refused() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let document = |key| serde_json::from_slice::<Value>(&store.objects()[key]).unwrap();
    let (manifest, plan) = (document(MANIFEST), document(PLAN));
    let refused = async |key: &str, document: &Value, why: &str| {
        let good = store.objects().insert(key.into(), serde_json::to_vec(document).unwrap().into()).unwrap();
        let error = ArchiveReader::open(store.clone()).catalog().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        store.objects().insert(key.into(), good);
    };
    let chunk = |manifest: &mut Value, edit: fn(&mut Vec<Value>)| {
        edit(manifest["content"]["chunks"][2]["batches"].as_array_mut().unwrap());
    };
    for edit in [|batches: &mut Vec<Value>| drop(batches.pop()), Vec::clear] {
        let mut edited = manifest.clone();
        chunk(&mut edited, edit);
        refused(MANIFEST, &edited, "its content was changed after it was written").await;
        sign(&mut edited);
        refused(MANIFEST, &edited, "it does not list all batches of chunk 0 of table 2").await;
        edited["content"]["chunks"][2]["total"] = json!({"batches": 0, "rows": 0, "bytes": 0});
        edited["content"]["chunks"][2]["batches"] = json!([]);
        sign(&mut edited);
        refused(MANIFEST, &edited, "it does not list all that a table holds").await;
    }
    let mut edited = manifest.clone();
    edited["content"]["chunks"].as_array_mut().unwrap().remove(0);
    sign(&mut edited);
    refused(MANIFEST, &edited, "it does not list the chunks of plan.json").await;
    let mut edited = plan.clone();
    edited["content"]["tables"].as_array_mut().unwrap().pop();
    refused(PLAN, &edited, "plan.json is damaged: its content was changed").await;
    sign(&mut edited);
    refused(PLAN, &edited, "manifest.json is damaged: it belongs to another plan.json").await;
    ArchiveReader::open(store.clone()).catalog().await.unwrap();
}

/// Makes the digest of a document that of its content.
fn sign(document: &mut Value) {
    let content = serde_json::to_vec(&document["content"]).unwrap();
    document["digest"] = format!("{:032x}", crate::codec::hash_row(&content)).into();
}

/// A store whose first reads of each object are damaged.
#[derive(Debug, Default)]
struct DamagingStore {
    inner: memory::MemoryStore,
    given: Mutex<HashMap<String, usize>>,
    /// How often each object arrives damaged.
    times: usize,
}

#[async_trait]
impl ObjectStore for DamagingStore {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        self.inner.put(key, data).await
    }
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        let found = self.inner.find(key, limit).await?;
        let mut given = self.given.lock().unwrap();
        let times = given.entry(key.to_owned()).or_default();
        *times += 1;
        if *times > self.times {
            return Ok(found);
        }
        Ok(found.map(|data| match *times {
            1 => data.slice(..data.len() / 2),
            _ => data.iter().map(|byte| byte ^ 1).collect(),
        }))
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
async fn damaged_objects_are_read_again_a_limited_number_of_times() {
    let whole = Arc::new(memory::MemoryStore::default());
    export(&whole).await;
    for times in [2, 3] {
        let store = Arc::new(DamagingStore { times, ..DamagingStore::default() });
        *store.inner.objects() = whole.objects().clone();
        let reader = ArchiveReader::open(store.clone());
        let catalog = reader.catalog().await;
        if times == 2 {
            catalog.unwrap();
            assert_eq!(read(&reader, &plan(), 2, 0).await.unwrap().len(), 3);
        } else {
            assert_eq!(catalog.unwrap_err().kind(), ErrorKind::Data);
        }
        assert_eq!(store.given.lock().unwrap()[MANIFEST], 3);
    }
}

#[tokio::test]
async fn a_changed_missing_or_exchanged_object_is_an_error() {
    let store = Arc::new(memory::MemoryStore::default());
    export(&store).await;
    let key = "data/2/0-1.tsv.zst";
    let good = store.objects()[key].clone();
    let reader = ArchiveReader::open(store.clone());
    let plan = plan();
    let mut spoiled = good.to_vec();
    spoiled[good.len() / 2] ^= 1;
    let other = crate::codec::compress(&batch(2, 0, 3).data).unwrap();
    for bad in [Bytes::from(spoiled), good.slice(..good.len() - 1), Bytes::new(), other] {
        store.objects().insert(key.into(), bad);
        let error = read(&reader, &plan, 2, 0).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Data, false));
        assert!(error.to_string().starts_with("memory:///data/2/0-1.tsv.zst is damaged: "), "{error}");
    }
    store.objects().remove(key);
    assert_eq!(read(&reader, &plan, 2, 0).await.unwrap_err().kind(), ErrorKind::Storage);
}

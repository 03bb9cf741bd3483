use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::store::conformance::{check_contract, check_many_objects};
use crate::store::memory::MemoryStore;

/// More bytes than any object of these tests has.
const LIMIT: u64 = 1 << 30;

fn key_file(byte: u8) -> ArchiveKey {
    ArchiveKey::File(vec![byte; 32].into())
}

fn encrypted(store: &Arc<MemoryStore>, key: ArchiveKey) -> EncryptedStore {
    EncryptedStore::new(store.clone(), Arc::new(key))
}

/// The message of a refused read of `plan.json` by this key, after its kind.
async fn refusal(store: &Arc<MemoryStore>, key: ArchiveKey) -> (ErrorKind, String) {
    let error = encrypted(store, key).find("plan.json", LIMIT).await.unwrap_err();
    assert!(!error.is_retryable());
    (error.kind(), error.to_string())
}

/// A store whose header is not listed.
#[derive(Debug)]
struct WithoutHeader(EncryptedStore);

#[async_trait]
impl ObjectStore for WithoutHeader {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        self.0.put(key, data).await
    }
    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        self.0.find(key, limit).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.0.list(prefix).await?.into_iter().filter(|key| key != HEADER).collect())
    }
    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.0.remove(keys).await
    }
    fn url(&self, key: &str) -> String {
        self.0.url(key)
    }
}

#[tokio::test]
async fn an_encrypted_store_fulfils_the_contract() {
    let store = Arc::new(MemoryStore::default());
    check_contract(Arc::new(WithoutHeader(encrypted(&store, key_file(1))))).await.unwrap();
    assert_eq!(store.objects().keys().collect::<Vec<_>>(), [HEADER]);
    check_many_objects(Arc::new(WithoutHeader(encrypted(&store, key_file(1))))).await.unwrap();
}

#[tokio::test]
async fn nothing_but_the_header_and_probes_is_readable() {
    let store = Arc::new(MemoryStore::default());
    let archive = encrypted(&store, key_file(1));
    archive.put("data/.dbgraft-probe-1", Bytes::from_static(b"a probe")).await.unwrap();
    assert_eq!(store.objects().keys().collect::<Vec<_>>(), ["data/.dbgraft-probe-1"], "a probe needs no header");
    let marker = Bytes::from(b"marker ".repeat(50));
    for key in ["plan.json", "data/0/0-0.tsv.zst", "data/0/0-1.tsv.zst"] {
        archive.put(key, marker.clone()).await.unwrap();
    }
    let objects = store.objects().clone();
    assert_eq!(objects.len(), 5);
    for (key, object) in objects.iter().filter(|(key, _)| *key != HEADER && !key.contains("probe")) {
        assert!(is_encrypted(object) && object.len() == marker.len() + OVERHEAD_BYTES, "{key}");
        assert!(!object.windows(6).any(|window| window == b"marker"), "{key}");
    }
    assert_ne!(objects["data/0/0-0.tsv.zst"][40..], objects["data/0/0-1.tsv.zst"][40..], "equal content, other bytes");
    let reader = encrypted(&store, key_file(1));
    assert_eq!(reader.get("plan.json", marker.len() as u64).await.unwrap(), marker);
    assert_eq!(reader.get("data/.dbgraft-probe-1", LIMIT).await.unwrap(), "a probe");
}

#[tokio::test]
async fn an_object_is_bound_to_its_name_and_its_archive() {
    let (store, other) = (Arc::new(MemoryStore::default()), Arc::new(MemoryStore::default()));
    for (store, content) in [(&store, "one"), (&other, "two")] {
        let archive = encrypted(store, key_file(1));
        archive.put("plan.json", Bytes::from(content)).await.unwrap();
        archive.put("data/0/0-0.tsv.zst", Bytes::from(content)).await.unwrap();
    }
    let good = store.objects()["plan.json"].clone();
    let changed = (0..good.len()).map(|at| {
        let mut changed = good.to_vec();
        changed[at] ^= 1;
        Bytes::from(changed)
    });
    let cut = (0..good.len()).map(|length| good.slice(..length));
    let longer = Bytes::from([&good[..], b"\0"].concat());
    let renamed = store.objects()["data/0/0-0.tsv.zst"].clone();
    let foreign = other.objects()["plan.json"].clone();
    let all: Vec<Bytes> =
        changed.chain(cut).chain([longer, renamed, foreign, Bytes::from_static(b"{\"format\":2}")]).collect();
    let reader = encrypted(&store, key_file(1));
    for bad in all {
        store.objects().insert("plan.json".into(), bad.clone());
        let error = reader.find("plan.json", LIMIT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{bad:?}");
        let expected = "memory:///plan.json is damaged: it is not what was encrypted under this name of this archive";
        assert_eq!(error.to_string(), expected);
    }
    store.objects().insert("plan.json".into(), good);
    assert_eq!(reader.get("plan.json", LIMIT).await.unwrap(), "one");
    // A header goes with its objects only.
    let header = other.objects()[HEADER].clone();
    store.objects().insert(HEADER.into(), header);
    assert_eq!(refusal(&store, key_file(1)).await.0, ErrorKind::Data);
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_an_object_is_read() {
    let store = Arc::new(MemoryStore::default());
    let (right, wrong) = (ArchiveKey::Passphrase("right".into()), || ArchiveKey::Passphrase("wrong".into()));
    encrypted(&store, right.clone()).put("plan.json", Bytes::from_static(b"{}")).await.unwrap();
    let before = store.objects().clone();
    let (kind, message) = refusal(&store, wrong()).await;
    assert_eq!(kind, ErrorKind::Authentication);
    assert!(message.starts_with("the passphrase is not that of the archive at memory:///, or its encryption.json"));
    let error = encrypted(&store, wrong()).put("data/0/0-0.tsv.zst", Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let (kind, message) = refusal(&store, key_file(1)).await;
    assert_eq!((kind, message.contains("is encrypted by a passphrase: say")), (ErrorKind::Usage, true), "{message}");
    assert_eq!(*store.objects(), before, "nothing is written");
    assert_eq!(encrypted(&store, right).get("plan.json", LIMIT).await.unwrap(), "{}");

    let store = Arc::new(MemoryStore::default());
    encrypted(&store, key_file(1)).put("plan.json", Bytes::from_static(b"{}")).await.unwrap();
    let (kind, message) = refusal(&store, key_file(2)).await;
    assert_eq!((kind, message.contains("name the key file of the export")), (ErrorKind::Authentication, true));
    let (kind, message) = refusal(&store, wrong()).await;
    assert_eq!((kind, message.contains("is encrypted by a key file: say")), (ErrorKind::Usage, true), "{message}");
}

#[tokio::test]
async fn an_edited_or_missing_header_is_refused() {
    let store = Arc::new(MemoryStore::default());
    let key = || ArchiveKey::Passphrase("right".into());
    encrypted(&store, key()).put("plan.json", Bytes::from_static(b"{}")).await.unwrap();
    let header: Value = serde_json::from_slice(&store.objects()[HEADER]).unwrap();
    assert_eq!(header["parameters"]["key"], json!({"passphrase": {"memory_kib": 65536, "passes": 3, "lanes": 4}}));
    let edits: [(&str, Value, ErrorKind); 8] = [
        (
            "/parameters/archive/31",
            json!(header["parameters"]["archive"][31].as_u64().unwrap() ^ 1),
            ErrorKind::Authentication,
        ),
        ("/mac/0", json!(header["mac"][0].as_u64().unwrap() ^ 1), ErrorKind::Authentication),
        ("/parameters/key/passphrase/passes", json!(2), ErrorKind::Authentication),
        ("/parameters/key/passphrase/memory_kib", json!(u32::MAX), ErrorKind::Data),
        ("/parameters/key/passphrase/passes", json!(u32::MAX), ErrorKind::Data),
        ("/parameters/key", json!("key-file"), ErrorKind::Usage),
        ("/parameters/archive", json!([1, 2]), ErrorKind::Data),
        ("/format", json!(2), ErrorKind::Unsupported),
    ];
    for (path, value, kind) in edits {
        let mut edited = header.clone();
        *edited.pointer_mut(path).unwrap() = value;
        store.objects().insert(HEADER.into(), edited.to_string().into());
        let refused = refusal(&store, key()).await;
        assert_eq!(refused.0, kind, "{path}: {}", refused.1);
    }
    let mut more = header.clone();
    more["hint"] = json!("the dog");
    for damaged in [more.to_string(), "{".to_owned(), String::new(), " ".repeat(1 << 20)] {
        store.objects().insert(HEADER.into(), damaged.into());
        assert_eq!(refusal(&store, key()).await.0, ErrorKind::Data);
    }
    store.objects().remove(HEADER);
    let (kind, message) = refusal(&store, key()).await;
    assert_eq!(kind, ErrorKind::Data);
    assert_eq!(message, "the archive at memory:/// has lost its encryption.json: restore it, or export again");
    assert_eq!(encrypted(&store, key()).find("manifest.json", LIMIT).await.unwrap(), None);
}

#[tokio::test]
async fn an_archive_that_is_not_encrypted_is_refused() {
    let store = Arc::new(MemoryStore::default());
    assert_eq!(encrypted(&store, key_file(1)).find("plan.json", LIMIT).await.unwrap(), None);
    store.put("plan.json", Bytes::from_static(b"{}")).await.unwrap();
    let (kind, message) = refusal(&store, key_file(1)).await;
    assert_eq!(kind, ErrorKind::Usage);
    assert_eq!(message, "the archive at memory:/// is not encrypted: leave out --encrypt");
}

#[tokio::test]
async fn a_removed_archive_gets_a_header_of_its_own_again() {
    let store = Arc::new(MemoryStore::default());
    let archive = encrypted(&store, key_file(1));
    archive.put("plan.json", Bytes::from_static(b"old")).await.unwrap();
    let old = store.objects().clone();
    archive.remove(&["plan.json".into(), HEADER.into()]).await.unwrap();
    assert!(store.objects().is_empty());
    archive.put("plan.json", Bytes::from_static(b"new")).await.unwrap();
    assert_ne!(store.objects()[HEADER], old[HEADER]);
    store.objects().insert("plan.json".into(), old["plan.json"].clone());
    assert_eq!(
        archive.find("plan.json", LIMIT).await.unwrap_err().kind(),
        ErrorKind::Data,
        "an older archive's object"
    );
}

/// Concurrent uploads begin the archive once.
#[tokio::test]
async fn concurrent_puts_share_one_header() {
    let store = Arc::new(MemoryStore::default());
    let archive = encrypted(&store, key_file(1));
    let names: Vec<String> = (0..20).map(|number| format!("data/0/0-{number}.tsv.zst")).collect();
    futures::future::try_join_all(names.iter().map(|key| archive.put(key, key.clone().into()))).await.unwrap();
    let reader = encrypted(&store, key_file(1));
    for key in names {
        assert_eq!(reader.get(&key, LIMIT).await.unwrap(), key);
    }
}

#[test]
fn keys_are_not_displayed() {
    let keys = [ArchiveKey::Passphrase("secret".into()), key_file(77)];
    let shown = format!("{keys:?} {:?}", encrypted(&Arc::default(), keys[0].clone()));
    assert!(!shown.contains("secret") && !shown.contains("77"), "{shown}");
    for key in keys {
        let copy: ArchiveKey = serde_json::from_str(&serde_json::to_string(&key).unwrap()).unwrap();
        let (header, _) = header::create(&copy).unwrap();
        header::open(&header, &key, "m").unwrap();
    }
}

/// Archives of earlier versions stay readable. These bytes are of another implementation of the same format, by Python's
/// `cryptography`.
#[tokio::test]
async fn the_format_stays_the_same() {
    let bytes = |from: u8| (from..from + 32).collect::<Vec<u8>>();
    for (key, derivation, mac, encrypted_text) in [
        (
            ArchiveKey::File(bytes(0).into()),
            json!("key-file"),
            "bac8f9e6849ccecaa809958d9eddad5718ed9163c4d611be59e698307cf93730",
            "aed28a3406a6bbdb9e4acccca908b1b8b6b479d9c2748d",
        ),
        (
            ArchiveKey::Passphrase("correct horse".into()),
            json!({"passphrase": {"memory_kib": 64, "passes": 1, "lanes": 2}}),
            "80f834e002e68c7e4ca722f4a62ac233bec412108a1bd4ee4ae792e89441d541",
            "1f54cbf5278f7d47986724bdd42c74bafee38fece2f842",
        ),
    ] {
        let decode = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let parameters = json!({"archive": bytes(32), "key": derivation});
        let header = json!({"format": 1, "parameters": parameters, "mac": decode(mac)});
        let object = [&b"dbgraft\x01"[..], &bytes(64), &decode(encrypted_text)].concat();
        let store = Arc::new(MemoryStore::default());
        store.objects().insert(HEADER.into(), header.to_string().into());
        store.objects().insert("plan.json".into(), object.into());
        assert_eq!(encrypted(&store, key).get("plan.json", LIMIT).await.unwrap(), "content");
    }
}

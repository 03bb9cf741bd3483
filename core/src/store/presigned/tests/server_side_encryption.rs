//! Uploads that the service encrypts.

use super::*;

#[tokio::test]
#[ignore = "run by a_presigned_store_is_an_object_store"]
async fn every_put_has_its_headers() {
    let (header, key_header) = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id");
    let locations =
        [("AES256", None), ("aws:kms", None), ("aws:kms", Some("arn:aws:kms:x:1:key/a-b"))].map(|(sse, key)| {
            S3Location { sse: Some(sse.to_owned()), sse_kms_key_id: key.map(str::to_owned), ..test_location("sse") }
        });
    for location in locations {
        let (endpoint, requests) = record_requests().await;
        let store = S3Store::open(S3Location { endpoint: Some(endpoint.clone()), ..location.clone() }).unwrap();
        store.put("a", Bytes::from_static(b"direct")).await.unwrap();
        let signer = TestSigner::with_location(S3Location { endpoint: Some(endpoint), ..location.clone() });
        signer.presigned_store().put("a", Bytes::from_static(b"presigned")).await.unwrap();
        let requests = requests.lock().unwrap().clone();
        assert_eq!(requests.len(), 2);
        for request in requests {
            let value = |name: &str| {
                let line = request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                line.map(str::to_owned)
            };
            assert_eq!((value(header), value(key_header)), (location.sse.clone(), location.sse_kms_key_id.clone()));
            // In the `Authorization` header, or encoded in the URL.
            let signed = request.replace("%3B", ";").split("SignedHeaders=").nth(1).unwrap().to_owned();
            let signed = signed.split([',', '&', ' ']).next().unwrap().to_owned();
            assert!(signed.split(';').any(|name| name == header), "{request}");
            assert_eq!(
                signed.split(';').any(|name| name == key_header),
                location.sse_kms_key_id.is_some(),
                "{request}"
            );
        }
    }
    // The server checks the signature over the headers.
    let signer = TestSigner::with_location(S3Location { sse: Some("AES256".to_owned()), ..test_location("sse") });
    let store = signer.presigned_store();
    store.put("a", Bytes::from_static(b"kept")).await.unwrap();
    assert_eq!(store.get("a", LIMIT).await.unwrap(), "kept");
    let mut presigned = PresignedUrl::sign(&signer.signer, "a", HttpMethod::Put).await.unwrap();
    assert_eq!(presigned.request.headers, [(header.to_owned(), "AES256".to_owned())]);
    presigned.request.headers.clear();
    let request = ObjectRequest::new(HttpMethod::Put, "s3://bucket/a", 0);
    let error = store.http.send(&request, &presigned.request, &Bytes::new()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Permission | ErrorKind::Authentication), "{error}");
    for method in [HttpMethod::Get, HttpMethod::Delete] {
        assert_eq!(PresignedUrl::sign(&signer.signer, "a", method).await.unwrap().request.headers, []);
    }
    store.remove(&["a".to_owned()]).await.unwrap();
}

/// Starts a server that accepts every request, and records the heads.
async fn record_requests() -> (String, Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let recorded = requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let head = loop {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break None;
                }
                let text = String::from_utf8_lossy(&request);
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && (body == "direct" || body == "presigned")
                {
                    break Some(head.to_owned());
                }
            };
            recorded.lock().unwrap().extend(head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    (endpoint, requests)
}

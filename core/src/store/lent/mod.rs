//! A store by lent URLs, for a site that must hold no key.

mod http;
#[cfg(test)]
pub(in crate::store) mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::http::{Http, Matter};
use super::{Store, Verb};
use crate::error::{Error, ErrorKind, Result};

/// How long the removal of orphans waits for objects that are on their way.
const GRACE: Duration = Duration::from_millis(1500);
/// How many requests remove orphans at once.
const REMOVERS: usize = 64;

/// Who holds the keys, and lends.
#[async_trait]
pub(crate) trait Lender: Send + Sync + fmt::Debug {
    /// What [`Loan::of`] gives.
    async fn presign(&self, key: &str, verb: Verb) -> Result<Loan>;

    /// What [`Store::list`] gives.
    async fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Does what [`Store::remove`] does.
    async fn remove(&self, keys: &[String]) -> Result<()>;
}

/// A lent URL, on its way to another site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Told", into = "Told")]
pub(crate) struct Loan {
    /// For what was asked.
    pub(crate) url: SecretString,
    /// With a URL to store an object comes the one to remove it: the borrower may outlive the lender.
    pub(crate) delete: Option<SecretString>,
}

impl Loan {
    /// What the store's owner lends.
    ///
    /// # Errors
    /// `Unsupported` where the store lends nothing.
    pub(crate) async fn of(store: &dyn Store, key: &str, verb: Verb) -> Result<Self> {
        let url = store.presign(key, verb).await?;
        let delete = if verb == Verb::Put { Some(store.presign(key, Verb::Delete).await?) } else { None };
        Ok(Self { url, delete })
    }
}

/// A loan as it travels.
#[derive(Serialize, Deserialize)]
struct Told {
    url: String,
    delete: Option<String>,
}

impl From<Loan> for Told {
    fn from(loan: Loan) -> Self {
        let exposed = |url: SecretString| url.expose_secret().to_owned();
        Self { url: exposed(loan.url), delete: loan.delete.map(exposed) }
    }
}

impl From<Told> for Loan {
    fn from(told: Told) -> Self {
        Self { url: told.url.into(), delete: told.delete.map(SecretString::from) }
    }
}

/// A store whose objects are reached by URLs that a lender gives one by one.
pub(crate) struct Lent {
    lender: Arc<dyn Lender>,
    /// The address of the store, for messages.
    url: String,
    http: Http,
    /// The URLs that remove what was put and not removed since, by key.
    removers: Mutex<HashMap<String, SecretString>>,
    /// Held by every object on its way; whoever has it alone knows that there is none.
    on_their_way: RwLock<()>,
    /// Takes no more objects.
    ended: CancellationToken,
}

impl Lent {
    /// The store at `url`, which is what messages call it.
    pub(crate) fn new(lender: Arc<dyn Lender>, url: String) -> Self {
        Self {
            lender,
            url: url.trim_end_matches('/').to_owned(),
            http: Http::default(),
            removers: Mutex::default(),
            on_their_way: RwLock::default(),
            ended: CancellationToken::new(),
        }
    }

    fn removers(&self) -> MutexGuard<'_, HashMap<String, SecretString>> {
        self.removers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Borrows a URL. From now on an object to be stored may be there.
    async fn borrow(&self, key: &str, verb: Verb) -> Result<SecretString> {
        let loan = self.lender.presign(key, verb).await?;
        if let Some(delete) = loan.delete {
            self.removers().insert(key.to_owned(), delete);
        }
        Ok(loan.url)
    }

    async fn use_loan(&self, key: &str, verb: Verb, data: Bytes, limit: u64) -> Result<Option<Bytes>> {
        let at = self.url(key);
        let matter = Matter::new(verb, &at, limit);
        let url = self.borrow(key, verb).await?;
        match self.http.exchange(&matter, &url, &data).await {
            // It may have been waiting for too long, or be signed by credentials that have ended meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::Permission | ErrorKind::Authentication) => {
                let url = self.borrow(key, verb).await?;
                self.http.exchange(&matter, &url, &data).await
            }
            outcome => outcome,
        }
    }

    fn ended(&self) -> Error {
        Error::new(ErrorKind::Cancelled, format!("{} takes no more objects: its removal has begun", self.url))
    }
}

#[async_trait]
impl Store for Lent {
    async fn put(&self, key: &str, data: Bytes) -> Result<()> {
        let _on_its_way = self.on_their_way.read().await;
        let stored = self.ended.run_until_cancelled(self.use_loan(key, Verb::Put, data, 0)).await;
        stored.unwrap_or_else(|| Err(self.ended())).map(drop)
    }

    async fn find(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        self.use_loan(key, Verb::Get, Bytes::new(), limit).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.lender.list(prefix).await
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        self.lender.remove(keys).await?;
        let mut removers = self.removers();
        keys.iter().for_each(|key| drop(removers.remove(key)));
        Ok(())
    }

    fn url(&self, key: &str) -> String {
        if key.is_empty() { self.url.clone() } else { format!("{}/{key}", self.url) }
    }

    async fn remove_orphans(&self) -> Result<()> {
        // An object that arrives after it was removed would stay: let those on their way arrive, then stop the others.
        let none = timeout(GRACE, self.on_their_way.write()).await;
        self.ended.cancel();
        let _none = match none {
            Ok(none) => Some(none),
            Err(_) => timeout(GRACE, self.on_their_way.write()).await.ok(),
        };
        let orphans: Vec<_> = self.removers().iter().map(|(key, url)| (key.clone(), url.clone())).collect();
        let removals = orphans.into_iter().map(async |(key, url)| {
            let at = self.url(&key);
            self.http.exchange(&Matter::new(Verb::Delete, &at, 0), &url, &Bytes::new()).await?;
            self.removers().remove(&key);
            Ok::<(), Error>(())
        });
        let mut removals = futures::stream::iter(removals).buffer_unordered(REMOVERS);
        let mut first = None;
        while let Some(outcome) = removals.next().await {
            match outcome {
                Ok(()) => {}
                // One URL may have ended before the others; a line that is down is down for all.
                Err(error) if error.kind() == ErrorKind::Connection => return Err(self.left(error)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), |error| Err(self.left(error)))
    }
}

impl Lent {
    fn left(&self, error: Error) -> Error {
        error.with("objects left", self.removers().len())
    }
}

/// Without the URLs.
impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("url", &self.url).field("lender", &self.lender).finish_non_exhaustive()
    }
}

//! Asks the user for secrets, each once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::PrivateKey;
use secrecy::SecretString;
use tokio::sync::{Mutex, MutexGuard};

use super::LoginOptions;
use super::key::KeyFile;

/// The maximum number of prompts for one secret.
pub(super) const MAX_PROMPTS: usize = 3;

/// The secrets of the user. Further connections reuse accepted answers without a prompt.
pub(super) struct SecretCache {
    login: LoginOptions,
    cache: Mutex<CachedSecrets>,
}

#[derive(Default)]
pub(super) struct CachedSecrets {
    /// The accepted answers by prompt.
    pub(super) answers: HashMap<String, SecretString>,
    /// The decrypted keys by path.
    keys: HashMap<PathBuf, Arc<PrivateKey>>,
    /// Whether the configured password is the passphrase of a key. It is then not sent to a host.
    pub(super) password_is_passphrase: bool,
}

impl SecretCache {
    pub(super) fn new(login: LoginOptions) -> Self {
        Self { login, cache: Mutex::default() }
    }

    pub(super) fn password(&self) -> Option<&SecretString> {
        self.login.password.as_ref()
    }

    pub(super) fn can_prompt(&self) -> bool {
        self.login.ask.is_some()
    }

    /// Locks the cache. The holder may prompt; other logins wait and then find the answer in the cache.
    pub(super) async fn lock(&self) -> MutexGuard<'_, CachedSecrets> {
        self.cache.lock().await
    }

    /// Prompts the user on a blocking thread; `None` without an answer.
    pub(super) async fn prompt(&self, prompt: &str) -> Option<SecretString> {
        let (ask, prompt) = (self.login.ask.clone()?, prompt.to_owned());
        tokio::task::spawn_blocking(move || ask(&prompt)).await.ok().flatten()
    }

    /// Decrypts the key of a file by the configured password or by prompts.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that begins with the key.
    pub(super) async fn decrypt_key(&self, file: &KeyFile) -> Result<Arc<PrivateKey>, String> {
        let mut cache = self.lock().await;
        if let Some(key) = cache.keys.get(&file.path) {
            return Ok(Arc::clone(key));
        }
        let key = match self.decrypt_by_password(file).await {
            Some(key) => {
                cache.password_is_passphrase = true;
                key
            }
            None => self.decrypt_by_prompt(file).await?,
        };
        cache.keys.insert(file.path.clone(), Arc::clone(&key));
        Ok(key)
    }

    async fn decrypt_by_password(&self, file: &KeyFile) -> Option<Arc<PrivateKey>> {
        file.decrypt(self.login.password.as_ref()?).await
    }

    async fn decrypt_by_prompt(&self, file: &KeyFile) -> Result<Arc<PrivateKey>, String> {
        let prompt = format!("Passphrase for key '{}': ", file.path.display());
        for _ in 0..MAX_PROMPTS {
            match self.prompt(&prompt).await {
                None if self.login.password.is_some() => return Err("has another passphrase".to_owned()),
                None => return Err("needs its passphrase".to_owned()),
                Some(passphrase) => {
                    if let Some(key) = file.decrypt(&passphrase).await {
                        return Ok(key);
                    }
                }
            }
        }
        Err("has another passphrase".to_owned())
    }
}

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::PrivateKey;
use secrecy::SecretString;
use tokio::sync::{Mutex, MutexGuard};

use super::Login;
use super::key::KeyFile;

/// How often a person is asked for the same.
pub(super) const TRIES: usize = 3;

/// The secrets of a person, asked for once: further connections use them again.
pub(super) struct Keyring {
    login: Login,
    memory: Mutex<Memory>,
}

#[derive(Default)]
pub(super) struct Memory {
    /// What was answered, and was right, by the question.
    pub(super) answers: HashMap<String, SecretString>,
    keys: HashMap<PathBuf, Arc<PrivateKey>>,
    /// Whether the password that is known beforehand is that of a key. A host must not hear it.
    pub(super) is_passphrase: bool,
}

impl Keyring {
    pub(super) fn new(login: Login) -> Self {
        Self { login, memory: Mutex::default() }
    }

    pub(super) fn password(&self) -> Option<&SecretString> {
        self.login.password.as_ref()
    }

    pub(super) fn can_ask(&self) -> bool {
        self.login.ask.is_some()
    }

    /// What is remembered. Whoever holds it may ask; others wait, and need not ask the same.
    pub(super) async fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().await
    }

    /// Asks a person. `None` if nobody is there, or nobody answers.
    pub(super) async fn ask(&self, question: &str) -> Option<SecretString> {
        let (ask, question) = (self.login.ask.clone()?, question.to_owned());
        tokio::task::spawn_blocking(move || ask(&question)).await.ok().flatten()
    }

    /// The key of a file, unlocked.
    ///
    /// # Errors
    /// In words: why it stays locked.
    pub(super) async fn unlock(&self, file: &KeyFile) -> Result<Arc<PrivateKey>, String> {
        let mut memory = self.memory().await;
        if let Some(key) = memory.keys.get(&file.path) {
            return Ok(Arc::clone(key));
        }
        let key = match self.with_password(file).await {
            Some(key) => {
                memory.is_passphrase = true;
                key
            }
            None => self.with_answers(file).await?,
        };
        memory.keys.insert(file.path.clone(), Arc::clone(&key));
        Ok(key)
    }

    async fn with_password(&self, file: &KeyFile) -> Option<Arc<PrivateKey>> {
        file.unlock(self.login.password.as_ref()?).await
    }

    async fn with_answers(&self, file: &KeyFile) -> Result<Arc<PrivateKey>, String> {
        let question = format!("Passphrase for key '{}': ", file.path.display());
        for _ in 0..TRIES {
            match self.ask(&question).await {
                None if self.login.password.is_some() => return Err("has another passphrase".to_owned()),
                None => return Err("needs its passphrase".to_owned()),
                Some(passphrase) => {
                    if let Some(key) = file.unlock(&passphrase).await {
                        return Ok(key);
                    }
                }
            }
        }
        Err("has another passphrase".to_owned())
    }
}

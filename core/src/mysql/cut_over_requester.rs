//! The session of a process that asks for a cut-over. The request counts while the session lives: the request of a process
//! that has died must not end following later, when nobody waits for it.

use tokio::sync::Mutex;

use super::connect::{Conn, ServerAddress};
use super::ddl::quote_text;
use super::{journal, session};
use crate::checkpoint::CutOver;
use crate::error::{Error, ErrorKind, Result};
use crate::options::Verify;

/// The seconds after which the server ends a session that has asked nothing. A process that waits asks more often.
const MAX_IDLE: u32 = 30;

/// The session that asks, if one does.
#[derive(Default)]
pub(super) struct CutOverRequester(Mutex<Option<Conn>>);

impl CutOverRequester {
    /// Asks for the cut-over of a job, in a session of its own that may write the journal.
    ///
    /// # Errors
    /// `Preflight` if another session asks for it.
    pub(super) async fn request(&self, mut conn: Conn, database: &str, job: &str, verify: Verify) -> Result<()> {
        conn.exec(&format!("SET SESSION wait_timeout = {MAX_IDLE}")).await?;
        let lock = format!("dbgraft:cutover:{job}");
        let lock = match conn.row(&format!("SELECT GET_LOCK({}, 0)", quote_text(&lock))).await {
            Ok(row) if row.as_ref().is_some_and(|row| row.number(0) == 1) => Some(lock),
            Ok(_) => {
                let message = format!(
                    "another process asks for this cut-over; if it is gone, the server forgets it within {MAX_IDLE} s"
                );
                return Err(Error::new(ErrorKind::Preflight, message));
            }
            Err(error) if error.code().is_none() => return Err(error),
            // The server has no user-level locks.
            Err(_) => None,
        };
        journal::request_cut_over(&mut conn, database, job, verify, lock).await?;
        *self.0.lock().await = Some(conn);
        Ok(())
    }

    /// Reads how far the cut-over of a job is, in the session that has asked for it if that is here.
    pub(super) async fn read(&self, address: &ServerAddress, job: &str) -> Result<Option<CutOver>> {
        let mut session = self.0.lock().await;
        // A connection with an error is not used again.
        let (mut conn, has_asked) = match session.take() {
            Some(conn) => (conn, true),
            None => (session::open_control(address).await?, false),
        };
        let found = journal::read_cut_over(&mut conn, &address.database, job).await?;
        *session = Some(conn).filter(|_| has_asked);
        Ok(found)
    }

    /// Withdraws the request. Returns false if there is none any more: the cut-over has begun.
    pub(super) async fn withdraw(&self, mut conn: Conn, database: &str) -> Result<bool> {
        let is_withdrawn = journal::withdraw_cut_over(&mut conn, database).await?;
        if is_withdrawn {
            *self.0.lock().await = None;
        }
        Ok(is_withdrawn)
    }
}

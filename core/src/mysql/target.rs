//! What the steps of writing share: the address, the sessions, and the account of what was made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::apply::Rewriting;
use super::connect::{Conn, ServerAddress};
use super::ddl::{self, TableDdl, quote_name};
use super::generated::Generated;
use super::receipts::{Receipts, Uptime};
use super::running::Running;
use super::undo::UndoLog;
use super::{check, session};
use crate::catalog::{Flavor, ObjectKind, ObjectRef, Server};
use crate::error::Result;
use crate::options::{self, CloneOptions, IfExists};
use crate::plan::Plan;
use crate::report::Note;

/// A database that is being written.
pub(super) struct Target {
    pub(super) address: ServerAddress,
    pub(super) options: CloneOptions,
    pub(super) running: Running,
    /// What this sink has made; removed again when it is aborted.
    pub(super) undo_log: UndoLog,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Keeps other clones out of the database.
    pub(super) guard: Option<Conn>,
    /// Sessions that load, and do nothing right now.
    pub(super) loaders: Vec<Conn>,
    /// Sessions that change definitions, and do nothing right now.
    pub(super) definers: Vec<Conn>,
    /// How each table's definition was taken apart, by its name.
    pub(super) tables: BTreeMap<String, TableDdl>,
    /// The tables whose deferred keys have been added, or refused.
    pub(super) indexed: BTreeSet<String>,
    /// Whether the server takes `LOAD DATA LOCAL`.
    pub(super) files: bool,
    /// Its `max_allowed_packet`.
    pub(super) packet: usize,
    pub(super) notes: Vec<Note>,
    /// The server that the rows come from.
    pub(super) source: Option<Server>,
    /// The definitions in the target's own dialect, by table.
    pub(super) definitions: BTreeMap<String, String>,
    /// Foreign keys that the source keeps and the server may refuse, by table and name.
    pub(super) loose_keys: BTreeSet<(String, String)>,
    /// What is known of the generated columns of each table, by its number.
    pub(super) generated: BTreeMap<u32, Generated>,
    /// The batches that were called durable.
    pub(super) receipts: Receipts,
    /// Of the server, when the clone began.
    pub(super) uptime: Option<Uptime>,
    /// How many values lost the sign of their zero, by table and column.
    pub(super) signs: BTreeMap<(String, String), u64>,
}

impl Target {
    pub(super) fn new(address: ServerAddress, options: &CloneOptions) -> Self {
        let address = ServerAddress { lock_wait: options.lock_wait, ..address };
        let running = Running::new(address.clone());
        Self { running, address, options: options.clone(), undo_log: UndoLog::default(), state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session for definitions, in the target database. It goes back to `definers` after its work.
    pub(super) async fn definer(&self) -> Result<Conn> {
        loop {
            let Some(mut conn) = self.state().definers.pop() else { break };
            // It may have been idle for long, and broken meanwhile.
            if conn.exec("DO 1").await.is_ok() {
                return Ok(conn);
            }
        }
        let mut conn = self.running.watch(session::definer(&self.address, &self.options).await?).await?;
        conn.exec(&format!("USE {}", quote_name(&self.address.database))).await?;
        Ok(conn)
    }

    /// A session that loads. It goes back to `loaders` after its work.
    pub(super) async fn loader(&self) -> Result<Conn> {
        let idle = self.state().loaders.pop();
        match idle {
            Some(conn) => Ok(conn),
            None => {
                let mut conn = self.running.watch(session::writer(&self.address, &self.options).await?).await?;
                // The source may have taken rows before a check was added, or have read it otherwise: its JSON may be
                // nested more deeply than MariaDB's check of it can look. A table that was there keeps its checks.
                let keeps = self.options.data_only || self.options.if_exists == IfExists::Truncate;
                if conn.server.flavor == Flavor::MariaDb && !keeps {
                    conn.try_set_each(&["check_constraint_checks = 0"]).await?;
                }
                Ok(conn)
            }
        }
    }

    pub(super) fn rewriting(&self, plan: &Plan) -> Rewriting {
        let definer = match &self.options.definer {
            options::Definer::Strip => ddl::DefinerRewrite::Strip,
            options::Definer::Keep => ddl::DefinerRewrite::Keep,
            options::Definer::Account { user, host } => {
                ddl::DefinerRewrite::Account { user: user.clone(), host: host.clone() }
            }
        };
        let (from, to) = (&plan.database.name, &self.address.database);
        let rename = ddl::DatabaseRename { from: from.clone(), to: to.clone(), ignores_case: plan.server.folds_names };
        Rewriting { definer, rename }
    }
}

/// What a database holds before we change it.
pub(super) struct There {
    objects: Vec<ObjectRef>,
    /// Whether the server takes `Orders` and `orders` for one table.
    pub(super) folds: bool,
}

impl There {
    pub(super) async fn look(conn: &mut Conn, database: &str) -> Result<Self> {
        let row = conn.row("SELECT @@lower_case_table_names").await?;
        let folds = row.is_some_and(|row| row.number(0) > 0);
        Ok(Self { objects: check::existing_objects(conn, database).await?, folds })
    }

    pub(super) fn same(&self, one: &str, other: &str) -> bool {
        one == other || self.folds && one.to_lowercase() == other.to_lowercase()
    }

    pub(super) fn has_table(&self, name: &str) -> bool {
        self.objects.iter().any(|object| object.kind == ObjectKind::Table && self.same(&object.name, name))
    }

    /// What has the name that this object wants.
    pub(super) fn in_the_way_of(&self, wanted: &ObjectRef) -> Option<&ObjectRef> {
        self.objects.iter().find(|object| self.shares_name(object, wanted))
    }

    /// The objects that are none of these.
    pub(super) fn others_than(&self, these: &[ObjectRef]) -> Vec<ObjectRef> {
        let others = self.objects.iter().filter(|object| !these.iter().any(|known| self.shares_name(object, known)));
        others.cloned().collect()
    }

    /// Tables, views and sequences share their names; names of other kinds are the same in either case of letters on
    /// every server, but for triggers.
    fn shares_name(&self, object: &ObjectRef, wanted: &ObjectRef) -> bool {
        let relation = |kind| matches!(kind, ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence);
        match relation(wanted.kind) {
            true => relation(object.kind) && self.same(&object.name, &wanted.name),
            false if wanted.kind == ObjectKind::Trigger => *object.name == wanted.name && object.kind == wanted.kind,
            false => object.kind == wanted.kind && object.name.to_lowercase() == wanted.name.to_lowercase(),
        }
    }
}

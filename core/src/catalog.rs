//! The catalog of one database as plain data: its objects with their columns, keys, definitions and sizes.

mod define;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The product family of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// Oracle MySQL and its close forks.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// The server that a catalog was read from. Its flavor is the dialect of the definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The family.
    pub flavor: Flavor,
    /// The version as the server prints it, for example `9.7.4` or `10.11.19-MariaDB`.
    pub version: String,
    /// A value that identifies the running server instance; empty if unknown.
    #[serde(default)]
    pub identity: String,
    /// Its `max_allowed_packet`, which limits the size of a value; 0 if unknown.
    #[serde(default)]
    pub max_allowed_packet: u64,
    /// Whether names of databases and tables are case-insensitive.
    #[serde(default)]
    pub folds_names: bool,
    /// The global values of the variables that a generated column may depend on, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl Server {
    /// Creates a server with unknown identity and variables.
    pub fn new(flavor: Flavor, version: impl Into<String>) -> Self {
        let (identity, settings) = (String::new(), BTreeMap::new());
        Self { flavor, version: version.into(), identity, max_allowed_packet: 0, folds_names: false, settings }
    }

    /// Whether both servers are of one release series, such as 10.11 or 8.4, which prints definitions in the same way.
    pub(crate) fn is_same_release(&self, other: &Self) -> bool {
        let series = |server: &Self| (server.flavor, server.version_numbers().0, server.version_numbers().1);
        series(self) == series(other)
    }

    /// `(major, minor, patch)` of the version; parts that are not numbers are 0.
    pub fn version_numbers(&self) -> (u32, u32, u32) {
        let mut parts = self.version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavor, self.version)
    }
}

/// A database and its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its default character set.
    pub charset: String,
    /// Its default collation.
    pub collation: String,
    /// Its comment on MariaDB; empty on MySQL.
    #[serde(default)]
    pub comment: String,
}

/// The kinds of object that a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A MariaDB sequence.
    Sequence,
    /// A base table.
    Table,
    /// A MySQL library: code that non-SQL functions and procedures use.
    Library,
    /// A stored function.
    Function,
    /// A stored procedure.
    Procedure,
    /// A MariaDB package specification.
    Package,
    /// A MariaDB package body.
    PackageBody,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A scheduled event.
    Event,
}

impl ObjectKind {
    /// All kinds, in the order in which objects are created.
    pub const ALL: [Self; 10] = [
        Self::Sequence,
        Self::Table,
        Self::Library,
        Self::Function,
        Self::Procedure,
        Self::Package,
        Self::PackageBody,
        Self::View,
        Self::Trigger,
        Self::Event,
    ];

    /// The name in patterns, reports and events: `table`, `package_body`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Library => "library",
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::Package => "package",
            Self::PackageBody => "package_body",
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Event => "event",
        }
    }

    /// Whether this is a function, a procedure, a part of a package or a library.
    pub fn is_routine(self) -> bool {
        matches!(self, Self::Library | Self::Function | Self::Procedure | Self::Package | Self::PackageBody)
    }

    /// Whether objects of this kind hold data: tables and sequences. A clone without one is refused.
    pub fn holds_data(self) -> bool {
        matches!(self, Self::Table | Self::Sequence)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kind and the name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name in the server's spelling.
    pub name: String,
    /// The table of a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl ObjectRef {
    /// Creates a reference to an object that is not a trigger.
    pub fn new(kind: ObjectKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), table: None }
    }
}

impl fmt::Display for ObjectRef {
    /// Formats as `table orders`, with control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, Printable(&self.name))
    }
}

/// Formats text for one line of a terminal: escapes control characters.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The bare type, lower case: `varchar`, `bigint`, `enum`.
    pub data_type: String,
    /// The full type: `varchar(20)`, `bigint unsigned`, `enum('a','b')`.
    pub column_type: String,
    /// The character set of a text column.
    pub charset: Option<String>,
    /// The collation of a text column.
    pub collation: Option<String>,
    /// Whether it is nullable.
    pub nullable: bool,
    /// Whether it is a generated column, virtual or stored. Generated columns are never loaded.
    pub generated: bool,
    /// Whether a generated column is stored. Its values are read too, to compare them with those that the target
    /// computes.
    #[serde(default)]
    pub stored: bool,
}

/// A base table, or a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its storage engine in the server's spelling.
    pub engine: String,
    /// Its columns in order, including invisible and generated ones.
    pub columns: Vec<Column>,
    /// Whether historical rows are cloned too: in a system-versioned table of MariaDB, where two columns hold the
    /// period of validity of a row.
    #[serde(default)]
    pub history: bool,
    /// The columns that are known to hold a TIMESTAMP after 2038-01-19 03:14:07 UTC, which most servers cannot store. Only
    /// columns are listed whose greatest value an index tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_timestamps: Vec<String>,
    /// The columns of its primary key in key order; empty without a primary key.
    pub primary_key: Vec<String>,
    /// The estimated number of rows, from the server's statistics.
    pub rows_estimate: u64,
    /// The estimated bytes of its rows on the server, without secondary indexes.
    pub data_bytes: u64,
    /// The estimated bytes of its secondary indexes on the server.
    pub index_bytes: u64,
    /// Its definition, as printed by `SHOW CREATE TABLE`.
    pub create: String,
}

impl Table {
    /// The columns whose values a batch holds, in the order of a row.
    pub fn stored_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated || column.stored)
    }

    /// The columns whose values are loaded: all but generated columns.
    pub fn loaded_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// The reference to the table.
    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(ObjectKind::Table, &self.name)
    }
}

/// The definition of an object that is not a table, with the session variables under which it was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The object.
    pub object: ObjectRef,
    /// Its `CREATE` statement, as printed by the server.
    pub create: String,
    /// The `sql_mode` at its creation; empty if the kind has none.
    pub sql_mode: String,
    /// The `character_set_client` at its creation; empty if the kind has none.
    pub character_set_client: String,
    /// The `collation_connection` at its creation; empty if the kind has none.
    pub collation_connection: String,
    /// The collation of the database at its creation; empty if the kind has none.
    pub database_collation: String,
    /// The time zone of an event; empty for other kinds.
    pub time_zone: String,
    /// The columns of a view; empty for other kinds and for invalid views.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// The state of a sequence, as the further arguments of `SETVAL`: its next value, 0, its cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// The objects of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The server, whose flavor is the dialect of the definitions.
    pub server: Server,
    /// The database.
    pub database: Database,
    /// Its base tables, by name.
    pub tables: Vec<Table>,
    /// The other objects, in the order of [`ObjectKind::ALL`]; triggers in the order in which they fire.
    pub definitions: Vec<Definition>,
}

impl Catalog {
    /// The references to all objects: tables first.
    pub fn objects(&self) -> impl Iterator<Item = ObjectRef> + '_ {
        let tables = self.tables.iter().map(Table::object);
        tables.chain(self.definitions.iter().map(|definition| definition.object.clone()))
    }

    /// Finds a table by name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

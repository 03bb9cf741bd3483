//! What a source holds: the objects of one database with their columns, keys, definitions and sizes. Plain data.

mod define;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The family a server belongs to.
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

/// The server a catalog was read from; it says in which dialect the definitions are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The family.
    pub flavor: Flavor,
    /// The version as the server prints it, for example `9.7.4` or `10.11.19-MariaDB`.
    pub version: String,
    /// What tells this running server from every other; empty where that is unknown.
    #[serde(default)]
    pub identity: String,
    /// Its `max_allowed_packet`, which bounds the size of a value; 0 where that is unknown.
    #[serde(default)]
    pub max_allowed_packet: u64,
    /// Whether it takes the names of databases and tables that differ by case for the same.
    #[serde(default)]
    pub folds_names: bool,
    /// Its global values of the settings that a generated column may depend on, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl Server {
    /// A server of which no more is known than its family and version.
    pub fn new(flavor: Flavor, version: impl Into<String>) -> Self {
        let (identity, settings) = (String::new(), BTreeMap::new());
        Self { flavor, version: version.into(), identity, max_allowed_packet: 0, folds_names: false, settings }
    }

    /// Whether both are of one series of releases, which write definitions in the same way: 10.11, or 8.4.
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

/// A database (a schema, in MySQL's other word) and its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its default character set.
    pub charset: String,
    /// Its default collation.
    pub collation: String,
    /// Its comment, which MariaDB has; empty elsewhere.
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
    /// A library of MySQL: code that functions and procedures in another language than SQL use.
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
    /// Every kind, in the order in which objects are created.
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

    /// The name used in patterns, reports and events: `table`, `package_body`.
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

    /// Whether something is lost for good without it: a table, or a sequence. All else only works on these.
    pub fn holds_data(self) -> bool {
        matches!(self, Self::Table | Self::Sequence)
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names one object of a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name, as the server stores it.
    pub name: String,
    /// The table a trigger belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
}

impl ObjectRef {
    /// Names an object that belongs to no table.
    pub fn new(kind: ObjectKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), table: None }
    }
}

impl fmt::Display for ObjectRef {
    /// `table orders`; characters that would break a line are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, Printable(&self.name))
    }
}

/// A name fit for one line of a terminal: control characters are escaped, everything else is as it is.
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
    /// The whole type: `varchar(20)`, `bigint unsigned`, `enum('a','b')`.
    pub column_type: String,
    /// The character set of a text column.
    pub charset: Option<String>,
    /// The collation of a text column.
    pub collation: Option<String>,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Whether its value is computed (virtual or stored): such a column is never loaded.
    pub generated: bool,
    /// Whether a computed value is stored with the row: then it travels too, to be compared with what the target computes.
    #[serde(default)]
    pub stored: bool,
}

/// A base table (or a sequence, which servers keep as one).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its storage engine, as the server prints it.
    pub engine: String,
    /// Its columns in order, invisible and generated ones included.
    pub columns: Vec<Column>,
    /// Whether the rows that it once had travel too: a system-versioned table of MariaDB, in which two of the columns say
    /// from when until when a row was valid.
    #[serde(default)]
    pub history: bool,
    /// The columns of its primary key in key order; empty without one.
    pub primary_key: Vec<String>,
    /// About how many rows it has: the server's statistics.
    pub rows_estimate: u64,
    /// About how many bytes its rows take on the server, without secondary indexes.
    pub data_bytes: u64,
    /// About how many bytes its secondary indexes take on the server.
    pub index_bytes: u64,
    /// Its definition, as `SHOW CREATE TABLE` prints it.
    pub create: String,
}

impl Table {
    /// The columns whose values travel, in the order in which a row holds them.
    pub fn stored_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated || column.stored)
    }

    /// The columns whose values are loaded: those that travel and are not computed by the target.
    pub fn loaded_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// Names it as an object.
    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(ObjectKind::Table, &self.name)
    }
}

/// The definition of an object that is not a table, with the session settings it was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Which object.
    pub object: ObjectRef,
    /// Its `CREATE` statement, as the server prints it.
    pub create: String,
    /// The `sql_mode` it was made under; empty where the kind has none.
    pub sql_mode: String,
    /// The `character_set_client` it was made under; empty where the kind has none.
    pub character_set_client: String,
    /// The `collation_connection` it was made under; empty where the kind has none.
    pub collation_connection: String,
    /// The collation its database had then; empty where the kind has none.
    pub database_collation: String,
    /// The time zone of an event; empty for other kinds.
    pub time_zone: String,
    /// The columns of a view; empty for other kinds, and for a view that its server cannot read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// Where a sequence stands, as the further arguments of `SETVAL`: its next value, 0, its round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Everything that a source holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The server, which says in which dialect the definitions are.
    pub server: Server,
    /// The database.
    pub database: Database,
    /// Its base tables, by name.
    pub tables: Vec<Table>,
    /// All its other objects, in the order of [`ObjectKind::ALL`]; triggers in the order in which they fire.
    pub definitions: Vec<Definition>,
}

impl Catalog {
    /// Names every object: the tables, then the others.
    pub fn objects(&self) -> impl Iterator<Item = ObjectRef> + '_ {
        let tables = self.tables.iter().map(Table::object);
        tables.chain(self.definitions.iter().map(|definition| definition.object.clone()))
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

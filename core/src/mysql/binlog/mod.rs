//! Reads the changes of a source from its binary log.
//!
//! The log is parsed here and not by `mysql_common::binlog`: its values lose what the codec keeps (the scale of a time, the
//! lines of Base64), it copies each of them several times, it knows no event of MariaDB, and it trusts the metadata of a
//! server.
//!
//! | file | verb |
//! | --- | --- |
//! | [`open_log`] | ask the server for its log from a position on |
//! | [`log_packets`] | read events from the packets of the log, and those inside of compressed transactions |
//! | [`change_stream`] | read the events of the log as a stream of changes |
//! | [`log_reader`] | turn events into changes, transaction by transaction: `statements` and `rows` read theirs |
//! | [`cut_over_search`] | find the last cut-over in the log |
//! | [`first_change`] | find the first change in a part of the log |
//! | [`xa_search`] | find the XA PREPARE or the XA COMMIT of transactions in the log |
//! | [`log_place`] | keep the place in the log |
//! | [`gtid_set`] | add to the GTIDs up to a place |
//! | [`event`] | split a packet into header, body and checksum |
//! | [`gtid_event`] [`query_event`] | parse what begins a transaction, and statements |
//! | [`statement`] | decide what a statement does |
//! | [`table_map`] [`column_type`] | match the columns of the log with those of the plan |
//! | [`rows_event`] | write rows as text |
//! | [`column_encoding`] | write a value as text; `temporal_text`, `decimal_text`, `address_text`, `json` some of them |
//! | [`payload_reader`] [`compressed_value`] | decompress transactions, events and values |
//! | [`byte_cursor`] | read bytes, never beyond their end |

mod address_text;
mod byte_cursor;
mod change_stream;
mod column_encoding;
mod column_type;
mod compressed_value;
mod cut_over_search;
mod decimal_text;
mod event;
mod first_change;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod gtid_event;
mod gtid_set;
mod json;
mod log_packets;
mod log_place;
mod log_reader;
mod open_log;
mod payload_reader;
mod query_event;
mod rows_event;
mod statement;
mod table_map;
mod temporal_text;
#[cfg(test)]
mod tests;
mod xa_search;

pub(super) use change_stream::open_changes;
pub(super) use cut_over_search::find_cut_over;
pub(super) use first_change::{SearchedLog, find_change};
#[cfg(any(test, fuzzing))]
pub(super) use fuzzing::log_events;
pub(super) use log_reader::UnknownTables;
pub(super) use xa_search::{find_commit, find_prepared};

//! Hashes the keys that changes use, so that transactions which depend on each other are found. Plain data: whoever applies
//! changes makes the hashers, and whoever reads them hashes, perhaps on another machine.
//!
//! Equal keys must have equal hashes, and the target alone knows which texts are equal. So a text is hashed in a form that is
//! coarser than any collation, and what has no such form takes the key of the whole table.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::change::{ChangeKind, RowChanges, RowImages};
use crate::codec::{Field, row_texts, split_fields};

/// A key that a transaction uses. Two transactions conflict if they use one key and at least one of them exclusively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConflictKey {
    /// A hash of the key. Equal keys have equal hashes; different keys may have.
    pub hash: u64,
    /// Whether other transactions may use the key at the same time, if all share it.
    pub is_shared: bool,
}

/// How a column's values are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashForm {
    /// The bytes are equal if the values are.
    Exact,
    /// Texts whose trailing spaces may not count.
    Padded,
    /// Texts by their ASCII letters and digits only, and these by classes of letters.
    Coarse,
    /// Floating-point numbers, of which two are zero.
    Float,
    /// There is no form.
    None,
}

impl HashForm {
    /// Adds the form of a field to `text`; returns false if it has none.
    fn push(self, text: &mut Vec<u8>, field: &[u8]) -> bool {
        match self {
            Self::None => return false,
            Self::Exact => text.extend_from_slice(field),
            Self::Padded => text.extend_from_slice(field.trim_ascii_end()),
            Self::Float => {
                let is_zero = !field.iter().any(|byte| matches!(byte, b'1'..=b'9'));
                text.extend_from_slice(if is_zero { b"0" } else { field });
            }
            Self::Coarse => {
                if !field.is_ascii() || field.iter().any(u8::is_ascii_control) {
                    return false;
                }
                text.extend(field.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|byte| {
                    match byte.to_ascii_lowercase() {
                        b'j' | b'y' => b'i',
                        b'u' | b'w' => b'v',
                        other => other,
                    }
                }));
            }
        }
        text.push(b'\t');
        true
    }
}

/// A key whose values are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashedKey {
    /// The hash of the key itself.
    pub seed: u64,
    /// The columns as indexes into the stored columns; `None` if a part of the key is no stored column.
    pub columns: Option<Vec<(u32, HashForm)>>,
    /// Whether the rows refer to others by this key.
    pub is_reference: bool,
    /// Whether the rows are only referred to by this key: a change that keeps it does not use it.
    pub is_referenced: bool,
}

/// The keys of one table: how those of its changes are hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictHasher {
    /// The unique keys, and the foreign keys that the table has or is referenced by.
    pub keys: Vec<HashedKey>,
    /// The hash of the table, for rows that no key tells apart.
    pub table: Option<u64>,
    /// The changes of the table that change further rows.
    pub cascades: CascadingChanges,
}

/// Which changes of a table change further rows by the foreign keys that refer to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CascadingChanges {
    /// The hash of all tables that foreign keys connect with this one; `None` if none of these keys changes rows.
    pub connected: Option<u64>,
    /// Whether a deletion changes further rows.
    pub on_delete: bool,
    /// The columns whose changes change further rows, as indexes into the stored columns.
    pub on_update: BTreeSet<u32>,
}

impl CascadingChanges {
    /// Whether foreign keys change further rows with these changes, or may do so.
    pub(crate) fn act_on(&self, changes: &RowChanges) -> bool {
        changes.with_cascades
            && match changes.kind {
                ChangeKind::Insert => false,
                ChangeKind::Delete => self.on_delete,
                ChangeKind::Update => self.on_update.iter().any(|column| changes_column(changes, *column)),
            }
    }
}

/// Whether an update changes the bytes of a column in any row.
fn changes_column(changes: &RowChanges, column: u32) -> bool {
    let (Some(before), Some(after)) = (&changes.before, &changes.after) else { return false };
    let place = |columns: &[u32]| columns.iter().position(|there| *there == column);
    // A minimal image has the columns that were assigned.
    let Some(new) = place(&after.columns) else { return false };
    let Some(old) = place(&before.columns) else { return true };
    let mut rows = row_texts(&before.text).zip(row_texts(&after.text));
    rows.any(|(one, other)| split_fields(one).nth(old) != split_fields(other).nth(new))
}

impl ConflictHasher {
    /// Adds the keys that changes of the table use.
    pub fn add_keys(&self, changes: &RowChanges, keys: &mut Vec<ConflictKey>) {
        if let Some(hash) = self.table {
            keys.push(ConflictKey { hash, is_shared: false });
        }
        // Which rows of other tables change is not known.
        let is_shared = !self.cascades.act_on(changes);
        keys.extend(self.cascades.connected.map(|hash| ConflictKey { hash, is_shared }));
        for key in &self.keys {
            // Whoever takes the whole key conflicts with those that use one of its values.
            keys.push(ConflictKey { hash: key.seed, is_shared: true });
            let hashes = |images: &Option<RowImages>| images.as_ref().map(|images| key.hashes(images));
            let (before, after) = (hashes(&changes.before), hashes(&changes.after));
            if changes.kind == ChangeKind::Update {
                let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
                for (before, after) in before.into_iter().zip(after) {
                    // A minimal image has the key of the row, and what has changed.
                    let kept = before == after || after == KeyUse::Unknown && !key.is_part_of(&changes.after);
                    if key.is_referenced && kept && before != KeyUse::Unknown {
                        continue;
                    }
                    let is_untouched = before == KeyUse::Unknown && after == KeyUse::Unknown;
                    if is_untouched && key.columns.is_some() && !key.is_part_of(&changes.after) {
                        continue;
                    }
                    key.push(before, keys);
                    if !kept {
                        key.push(after, keys);
                    }
                }
            } else {
                before.into_iter().chain(after).flatten().for_each(|used| key.push(used, keys));
            }
        }
    }
}

/// What a row uses of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    /// Nothing: a part of the value is NULL.
    Nothing,
    Value(u64),
    /// The value is not known.
    Unknown,
}

impl HashedKey {
    /// Whether an image has a column of the key.
    fn is_part_of(&self, images: &Option<RowImages>) -> bool {
        let has = |images: &RowImages| self.columns.iter().flatten().any(|(column, _)| images.columns.contains(column));
        images.as_ref().is_some_and(has)
    }

    fn push(&self, used: KeyUse, keys: &mut Vec<ConflictKey>) {
        match used {
            KeyUse::Nothing => {}
            KeyUse::Value(hash) => keys.push(ConflictKey { hash, is_shared: self.is_reference }),
            KeyUse::Unknown => keys.push(ConflictKey { hash: self.seed, is_shared: false }),
        }
    }

    /// What each row of the images uses.
    fn hashes(&self, images: &RowImages) -> Vec<KeyUse> {
        let place = |(column, form): &(u32, HashForm)| {
            images.columns.iter().position(|there| there == column).map(|place| (place, *form))
        };
        let places: Option<Vec<(usize, HashForm)>> =
            self.columns.as_ref().and_then(|columns| columns.iter().map(place).collect());
        let mut text = Vec::new();
        let of_row = |line: &[u8]| {
            let Some(places) = &places else { return KeyUse::Unknown };
            let fields: Vec<Field<'_>> = split_fields(line).collect();
            text.clear();
            let mut is_known = true;
            for (place, form) in places {
                match fields.get(*place) {
                    Some(Field::Null) => return KeyUse::Nothing,
                    Some(Field::Escaped(field)) => is_known &= form.push(&mut text, field),
                    None => is_known = false,
                }
            }
            match is_known {
                true => KeyUse::Value(xxh3_64_with_seed(&text, self.seed)),
                false => KeyUse::Unknown,
            }
        };
        row_texts(&images.text).map(of_row).collect()
    }
}

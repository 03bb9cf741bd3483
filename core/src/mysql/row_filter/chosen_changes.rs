//! Leaves out of changes what a filter does not choose.

use bytes::Bytes;

use super::{ColumnPlaces, RowFilter, Value};
use crate::change::{ChangeKind, RowChanges, RowImages};
use crate::codec::row_texts;

/// Why the rows that a filter chooses are not known.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mysql) enum UnknownRow {
    /// The log does not have this column of a row.
    Column(String),
    /// A row comes to be chosen, and the log does not have all of it.
    PartOfRow,
    /// A value is not of its column's type.
    Malformed,
}

impl RowFilter {
    /// Returns the changes of the rows that the filter chooses. An update by which a row comes to be chosen is an insert of
    /// it, and one by which it ceases to be is a delete. The order stays.
    pub(in crate::mysql) fn chosen_changes(&self, changes: RowChanges) -> Result<Vec<RowChanges>, UnknownRow> {
        let kinds = self.chosen_kinds(&changes)?;
        if kinds.iter().all(|kind| *kind == Some(changes.kind)) {
            return Ok(vec![changes]);
        }
        let mut before = changes.before.iter().flat_map(|image| row_texts(&image.text));
        let mut after = changes.after.iter().flat_map(|image| row_texts(&image.text));
        let mut chosen: Vec<Piece> = Vec::new();
        for kind in kinds {
            let (old, new) = (before.next(), after.next());
            let Some(kind) = kind else { continue };
            let piece = match chosen.pop_if(|piece| piece.kind == kind) {
                Some(piece) => piece,
                None => Piece { kind, rows: 0, before: Vec::new(), after: Vec::new() },
            };
            chosen.push(piece.with_row(old, new));
        }
        let image = |whole: &Option<RowImages>, text: Vec<u8>| {
            whole.as_ref().map(|whole| RowImages { columns: whole.columns.clone(), text: Bytes::from(text) })
        };
        let changes = chosen.into_iter().map(|Piece { kind, rows, before, after }| RowChanges {
            kind,
            rows,
            before: image(&changes.before, before).filter(|_| kind != ChangeKind::Insert),
            after: image(&changes.after, after).filter(|_| kind != ChangeKind::Delete),
            ..changes
        });
        Ok(changes.collect())
    }

    /// Where an image has the columns of the filter, and its text.
    fn places<'a>(&self, image: &'a Option<RowImages>) -> Option<(ColumnPlaces, &'a Bytes)> {
        image.as_ref().map(|image| (ColumnPlaces::find(self, &image.columns), &image.text))
    }

    /// What happens to each row, as far as it is chosen; `None` if it is chosen neither before nor after.
    fn chosen_kinds(&self, changes: &RowChanges) -> Result<Vec<Option<ChangeKind>>, UnknownRow> {
        let (before, after) = (self.places(&changes.before), self.places(&changes.after));
        // An image after an update may have only what changed.
        let first = before.as_ref().or(after.as_ref());
        let missing = first.and_then(|(places, _)| places.0.iter().position(Option::is_none));
        if let Some(column) = missing.and_then(|missing| self.columns.get(missing)) {
            return Err(UnknownRow::Column(column.name.clone()));
        }
        let has_whole_row = |image: &RowImages| self.whole_row.iter().all(|column| image.columns.contains(column));
        let has_whole_row = changes.after.as_ref().is_some_and(has_whole_row);
        let mut lines = [&before, &after].map(|image| image.iter().flat_map(|(_, text)| row_texts(text)));
        let mut kinds = Vec::new();
        for _ in 0..changes.rows {
            let mut row = vec![Value::Null; self.columns.len()];
            let [old_lines, new_lines] = &mut lines;
            let mut read = |image: &Option<(ColumnPlaces, &Bytes)>, line: Option<&[u8]>| match (image, line) {
                (Some((places, _)), Some(line)) if places.read(self, line, &mut row) => Ok(self.chooses(&row)),
                (None, None) => Ok(false),
                _ => Err(UnknownRow::Malformed),
            };
            // The values that the second image lacks stay those of the first.
            let was_chosen = read(&before, old_lines.next())?;
            let is_chosen = read(&after, new_lines.next())?;
            kinds.push(match (was_chosen, is_chosen) {
                (true, true) => Some(ChangeKind::Update),
                (true, false) => Some(ChangeKind::Delete),
                (false, true) => Some(ChangeKind::Insert),
                (false, false) => None,
            });
            if is_chosen && !was_chosen && changes.kind == ChangeKind::Update && !has_whole_row {
                return Err(UnknownRow::PartOfRow);
            }
        }
        Ok(kinds)
    }
}

/// Rows of the same kind, one after the other.
struct Piece {
    kind: ChangeKind,
    rows: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Piece {
    fn with_row(mut self, before: Option<&[u8]>, after: Option<&[u8]>) -> Self {
        self.rows += 1;
        for (text, row) in [(&mut self.before, before), (&mut self.after, after)] {
            if let Some(row) = row {
                text.extend_from_slice(row);
                text.push(b'\n');
            }
        }
        self
    }
}

//! Finds the end of a cut-over among the lines of a journal that a binary log holds.

use super::TABLE_NAME;
use super::line::{JobLine, Line, LineKind};
use crate::catalog::{Column, Table};
use crate::checkpoint::{CutOver, CutOverState};
use crate::codec::Field;

/// The lines of one journal, in the order of the log.
#[derive(Default)]
pub(in crate::mysql) struct LoggedJournal {
    /// The pieces of the job that were written last, with their checksums.
    job: Vec<(Line, u64)>,
    ended: Option<(JobLine, CutOver)>,
}

impl LoggedJournal {
    /// Adds a line that was written. What is no line of a journal changes nothing.
    pub(in crate::mysql) fn add<'a>(&mut self, fields: impl Iterator<Item = Field<'a>>) {
        let values: Option<Vec<Vec<u8>>> = fields.map(Field::unescape).collect();
        let Some((line, checksum)) = values.and_then(parse_line) else { return };
        match line.kind {
            LineKind::Job => {
                if line.batch_id().batch == 0 {
                    self.job.clear();
                }
                self.job.push((line, checksum));
            }
            LineKind::CutOver => self.ended = self.read_end(&line, checksum).or(self.ended.take()),
            _ => {}
        }
    }

    /// The last cut-over that has ended, with the job as it was recorded then.
    pub(in crate::mysql) fn into_ended(self) -> Option<(JobLine, CutOver)> {
        self.ended
    }

    /// Reads the end of a cut-over from which changes can be carried back. The job was written just before it.
    fn read_end(&self, line: &Line, checksum: u64) -> Option<(JobLine, CutOver)> {
        let cut_over: CutOver = line.parse()?;
        let log = cut_over.target_log.as_ref().filter(|_| cut_over.state == CutOverState::Finished)?;
        log.completed.as_ref()?;
        let content: Vec<u8> = self.job.iter().flat_map(|(piece, _)| piece.content.clone()).collect();
        let job = Line::parse_job(&content)?;
        let is_of_job = |line: &Line, checksum: u64| line.checksum(&job.plan.job.id) == checksum;
        let is_whole = self.job.iter().all(|(piece, checksum)| is_of_job(piece, *checksum));
        (is_whole && is_of_job(line, checksum)).then_some((job, cut_over))
    }
}

fn parse_line(values: Vec<Vec<u8>>) -> Option<(Line, u64)> {
    let [kind, table, chunk, batch, content, checksum]: [Vec<u8>; 6] = values.try_into().ok()?;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    let place = |text: &[u8]| u32::try_from(number(text)?).ok();
    let kind = LineKind::from_number(usize::try_from(number(&kind)?).ok()?)?;
    Some((Line { kind, numbers: [place(&table)?, place(&chunk)?, place(&batch)?], content }, number(&checksum)?))
}

/// The journal's table, as a log describes it.
pub(in crate::mysql) fn table() -> Table {
    let column = |(name, data_type, column_type): (&str, &str, &str)| Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        column_type: column_type.to_owned(),
        charset: None,
        collation: None,
        nullable: false,
        generated: false,
        stored: false,
    };
    let number = |name| (name, "int", "int unsigned");
    let columns = [
        ("kind", "enum", "enum"),
        number("table_number"),
        number("chunk"),
        number("batch"),
        ("content", "longblob", "longblob"),
        ("checksum", "bigint", "bigint unsigned"),
    ];
    Table {
        name: TABLE_NAME.to_owned(),
        engine: "InnoDB".to_owned(),
        columns: columns.map(column).to_vec(),
        history: false,
        late_timestamps: Vec::new(),
        primary_key: Vec::new(),
        rows_estimate: 0,
        data_bytes: 0,
        index_bytes: 0,
        create: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Database, Flavor, Server};
    use crate::checkpoint::TargetLog;
    use crate::plan::{JobDescription, Plan, Position, Selection, SnapshotMethod};

    /// Adds a line as the log of a server holds it.
    fn add(journal: &mut LoggedJournal, line: &Line, checksum: u64) {
        let kind = LineKind::from_name(if line.kind == LineKind::Job { "job" } else { "cutover" }).unwrap();
        let number = (1..9).find(|number| LineKind::from_number(*number) == Some(kind)).unwrap();
        let [table, chunk, batch] = line.numbers;
        let mut text = crate::codec::BatchBuilder::default();
        for value in [number as u64, table.into(), chunk.into(), batch.into()] {
            text.push_value(value.to_string().as_bytes());
        }
        text.push_value(&line.content);
        text.push_value(checksum.to_string().as_bytes());
        journal.add(crate::codec::split_fields(text.row_text()));
    }

    #[test]
    fn only_a_cut_over_that_has_ended_counts_with_the_job_before_it() {
        let catalog = Catalog {
            server: Server::new(Flavor::MySql, "9.7"),
            database: Database {
                name: "d".into(),
                charset: "utf8mb4".into(),
                collation: "x".into(),
                comment: String::new(),
            },
            tables: Vec::new(),
            definitions: Vec::new(),
        };
        let plan = Plan::from_selection(&catalog, &Selection::default(), Position::unknown(SnapshotMethod::External));
        let job = JobDescription { id: "j".into(), ..JobDescription::default() };
        let job = JobLine {
            dbgraft: "1".into(),
            started: String::new(),
            server_started: 0,
            options: Default::default(),
            plan: Plan { job, ..plan },
        };
        let cut_over = |state, has_log: bool| {
            let target_log = TargetLog { completed: has_log.then(Default::default), ..TargetLog::default() };
            CutOver { target_log: Some(target_log), ..CutOver::new(state, None, false) }
        };
        let ended = cut_over(CutOverState::Finished, true);
        let read = |cut_over: &CutOver, change: u64| {
            let mut journal = LoggedJournal::default();
            for piece in Line::job(&job).unwrap() {
                add(&mut journal, &piece, piece.checksum("j"));
            }
            let line = Line::cut_over(cut_over);
            add(&mut journal, &line, line.checksum("j") ^ change);
            journal
        };
        assert_eq!(read(&ended, 0).into_ended().map(|(_, cut_over)| cut_over), Some(ended.clone()));
        assert!(read(&ended, 1).into_ended().is_none(), "another checksum");
        assert!(read(&cut_over(CutOverState::Finishing, true), 0).into_ended().is_none());
        assert!(read(&cut_over(CutOverState::Finished, false), 0).into_ended().is_none());
        // A later line that does not count leaves the one before.
        let mut journal = read(&ended, 0);
        journal.add(std::iter::empty());
        let line = Line::cut_over(&CutOver::requested(crate::options::Verify::None));
        add(&mut journal, &line, line.checksum("j"));
        assert!(journal.into_ended().is_some());
    }
}

//! Selects the objects and rows to clone.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};

use crate::catalog::{Catalog, ObjectKind, ObjectRef, Printable};
use crate::error::{Error, Result};
use crate::options::CloneOptions;
use crate::plan::{OmittedObject, SelectedTable, Selection};

/// Selects objects and rows. A closure `|object: &ObjectRef| -> bool` is a selector.
///
/// The job calls it once for each object of the catalog, on the machine that starts the job, before it writes anything.
pub trait ObjectSelector: Send + Sync {
    /// Whether the object is cloned. A trigger is cloned only if its table is selected too.
    fn select(&self, object: &ObjectRef) -> bool;

    /// The SQL condition of the rows of a selected table; `None` for the filter of the options, or for all rows.
    fn rows(&self, _table: &ObjectRef) -> Option<String> {
        None
    }

    /// Called after the last object: an error ends the job. For selectors that can fail.
    ///
    /// # Errors
    /// The error of the job.
    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

impl<F: Fn(&ObjectRef) -> bool + Send + Sync> ObjectSelector for F {
    fn select(&self, object: &ObjectRef) -> bool {
        self(object)
    }
}

/// One `GLOB` or `kind:GLOB`.
struct Pattern {
    text: String,
    kind: Option<ObjectKind>,
    glob: GlobMatcher,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let kind_of = |name: &str| ObjectKind::ALL.into_iter().find(|kind| kind.name() == name);
        let (kind, name) = match text.split_once(':').map(|(kind, name)| (kind_of(kind), name)) {
            Some((Some(kind), name)) => (Some(kind), name),
            _ => (None, text),
        };
        let glob = GlobBuilder::new(name).literal_separator(false).backslash_escape(true).build();
        let glob = glob.map_err(|error| Error::usage(format!("`{text}` is no pattern")).caused_by(error))?;
        Ok(Self { text: text.to_owned(), kind, glob: glob.compile_matcher() })
    }

    fn matches(&self, object: &ObjectRef) -> bool {
        self.kind.is_none_or(|kind| kind == object.kind) && self.glob.is_match(&object.name)
    }
}

/// Selects by the options: by patterns and by kinds.
pub(crate) struct PatternSelector {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    triggers: bool,
    routines: bool,
    events: bool,
    /// Whether only the rows of tables are cloned.
    only_rows: bool,
}

impl PatternSelector {
    /// Creates the selector. A full clone selects every kind; a clone with an `include` selects triggers, routines and
    /// events only if an option or a pattern names them.
    ///
    /// # Errors
    /// `Usage` for an invalid pattern.
    pub(crate) fn from_options(options: &CloneOptions) -> Result<Self> {
        let parse = |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>>>();
        let full = options.include.is_empty();
        Ok(Self {
            include: parse(&options.include)?,
            exclude: parse(&options.exclude)?,
            triggers: options.triggers.unwrap_or(full),
            routines: options.routines.unwrap_or(full),
            events: options.events.unwrap_or(full),
            only_rows: options.data_only,
        })
    }

    /// Refuses patterns that match nothing or select nothing: a typing error must not change what is cloned.
    ///
    /// # Errors
    /// `Usage`, with the pattern.
    pub(crate) fn check(&self, catalog: &Catalog) -> Result<()> {
        let objects: Vec<ObjectRef> = catalog.objects().collect();
        for (option, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            if let Some(pattern) = patterns.iter().find(|pattern| !objects.iter().any(|object| pattern.matches(object)))
            {
                let database = Printable(&catalog.database.name);
                let message = format!("--{option} {}: nothing in database {database} has such a name", pattern.text);
                return Err(Error::usage(message));
            }
        }
        // Patterns of `exclude` do not count here: they may remove what `include` matches.
        for pattern in &self.include {
            let found: Vec<&ObjectRef> = objects.iter().filter(|object| pattern.matches(object)).collect();
            if !found.iter().any(|object| self.includes(pattern, object))
                && let Some(first) = found.first()
            {
                let (kind, name) = (first.kind, Printable(&first.name));
                let remedy = match self.only_rows {
                    true => "--data-only takes the rows of tables only".to_owned(),
                    false => format!("a partial clone takes it by --include {}:{name}", kind.name()),
                };
                let message =
                    format!("--include {}: it matches {kind} {name}, which is not taken: {remedy}", pattern.text);
                return Err(Error::usage(message));
            }
        }
        Ok(())
    }

    /// Whether a matching pattern of `include` selects the object.
    fn includes(&self, pattern: &Pattern, object: &ObjectRef) -> bool {
        (!self.only_rows || object.kind == ObjectKind::Table)
            && (pattern.kind.is_some() || self.selects_kind(object.kind).unwrap_or(true))
    }

    /// Whether the options select the whole kind; `None` where the patterns decide.
    fn selects_kind(&self, kind: ObjectKind) -> Option<bool> {
        match kind {
            ObjectKind::Trigger => Some(self.triggers),
            ObjectKind::Event => Some(self.events),
            kind if kind.is_routine() => Some(self.routines),
            _ => None,
        }
    }
}

impl ObjectSelector for PatternSelector {
    fn select(&self, object: &ObjectRef) -> bool {
        if self.exclude.iter().any(|pattern| pattern.matches(object)) {
            return false;
        }
        // `function:tax_*` selects functions; `tax_*` alone does not.
        if self.include.iter().any(|pattern| pattern.kind.is_some() && pattern.matches(object)) {
            return true;
        }
        self.selects_kind(object.kind)
            .unwrap_or_else(|| self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(object)))
    }
}

/// Applies a selector and the filters of the options to a catalog.
///
/// # Errors
/// `Usage` for a filter of a table that is missing or not selected, and the error of the selector.
pub(crate) fn select_objects(
    catalog: &Catalog,
    selector: &dyn ObjectSelector,
    options: &CloneOptions,
) -> Result<Selection> {
    if let Some(name) = options.filters.keys().find(|name| catalog.table(name).is_none()) {
        return Err(Error::usage(format!("--where {}=…: there is no table of that name", Printable(name))));
    }
    let mut selection = Selection { rows: !options.schema_only, schema: !options.data_only, ..Selection::default() };
    let mut leave = |object: ObjectRef, reason: &str| {
        selection.left_out.push(OmittedObject { object, reason: reason.to_owned() });
    };
    let mut tables = Vec::new();
    for table in &catalog.tables {
        let object = table.object();
        if selector.select(&object) {
            let filter = selector.rows(&object).or_else(|| options.filters.get(&object.name).cloned());
            tables.push(SelectedTable { name: object.name, filter });
        } else {
            leave(object, "not selected");
        }
    }
    let names: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    if let Some(name) = options.filters.keys().find(|name| !names.contains(name.as_str())) {
        let name = Printable(name);
        return Err(Error::usage(format!(
            "--where {name}=…: table {name} is not cloned: leave it out, or include the table"
        )));
    }
    let mut objects = Vec::new();
    for definition in &catalog.definitions {
        let object = &definition.object;
        let table_missing = object.table.as_deref().is_some_and(|table| !names.contains(table));
        if options.data_only {
            leave(object.clone(), "only rows were asked for");
        } else if !selector.select(object) {
            leave(object.clone(), "not selected");
        } else if table_missing {
            leave(object.clone(), "its table is not selected");
        } else {
            objects.push(object.clone());
        }
    }
    selector.finish()?;
    selection.whole = selection.left_out.is_empty() && tables.iter().all(|table| table.filter.is_none());
    selection.tables = tables;
    selection.objects = objects;
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str], change: impl FnOnce(&mut CloneOptions)) -> PatternSelector {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let mut options = CloneOptions { include: own(include), exclude: own(exclude), ..CloneOptions::default() };
        change(&mut options);
        PatternSelector::from_options(&options).unwrap()
    }

    fn picks(patterns: &PatternSelector, kind: ObjectKind, name: &str) -> bool {
        patterns.select(&ObjectRef::new(kind, name))
    }

    #[test]
    fn a_full_clone_takes_everything_and_an_exclusion_only_what_it_names() {
        let full = patterns(&[], &["log_*", "view:v"], |_| ());
        assert!(ObjectKind::ALL.into_iter().all(|kind| picks(&full, kind, "a")));
        assert!(!picks(&full, ObjectKind::Table, "log_1") && !picks(&full, ObjectKind::Event, "log_1"));
        assert!(!picks(&full, ObjectKind::View, "v") && picks(&full, ObjectKind::Table, "v"));
    }

    #[test]
    fn a_partial_clone_takes_triggers_routines_and_events_only_if_asked() {
        let partial = patterns(&["*"], &[], |_| ());
        assert!(picks(&partial, ObjectKind::Table, "a") && picks(&partial, ObjectKind::View, "a"));
        assert!(!picks(&partial, ObjectKind::Trigger, "a") && !picks(&partial, ObjectKind::Function, "a"));
        assert!(picks(&patterns(&["*"], &[], |o| o.triggers = Some(true)), ObjectKind::Trigger, "a"));
        assert!(picks(&patterns(&["event:e*"], &[], |_| ()), ObjectKind::Event, "e1"));
        assert!(!picks(&patterns(&["event:e*"], &[], |_| ()), ObjectKind::Table, "e1"));
        assert!(!picks(&patterns(&[], &[], |o| o.events = Some(false)), ObjectKind::Event, "e1"));
    }

    #[test]
    fn a_pattern_of_include_takes_what_it_matches_or_is_told_why_not() {
        let object = |kind| ObjectRef::new(kind, "f");
        let takes = |patterns: PatternSelector, kind| {
            patterns.include.iter().all(|pattern| patterns.includes(pattern, &object(kind)))
        };
        for kind in [ObjectKind::Function, ObjectKind::Event, ObjectKind::Trigger] {
            assert!(!takes(patterns(&["f"], &[], |_| ()), kind), "{kind}");
            assert!(takes(patterns(&[&format!("{kind}:f")], &[], |_| ()), kind), "{kind}");
            assert!(!takes(patterns(&[&format!("{kind}:f")], &[], |o| o.data_only = true), kind), "{kind}");
        }
        assert!(takes(patterns(&["f"], &[], |o| o.routines = Some(true)), ObjectKind::Procedure));
        assert!(takes(patterns(&["f"], &[], |_| ()), ObjectKind::View));
        assert!(takes(patterns(&["f"], &[], |o| o.data_only = true), ObjectKind::Table));
    }

    #[test]
    fn a_pattern_may_hold_any_name() {
        assert!(picks(&patterns(&["a/b:c*"], &[], |_| ()), ObjectKind::Table, "a/b:cd"));
        assert!(picks(&patterns(&[r"50\*"], &[], |_| ()), ObjectKind::Table, "50*"));
        assert!(
            PatternSelector::from_options(&CloneOptions { include: vec!["a[".into()], ..CloneOptions::default() })
                .is_err()
        );
    }
}

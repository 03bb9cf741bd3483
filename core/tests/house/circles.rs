//! No two files import each other, neither directly nor through other files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{code_of, files, sources};

/// A module's path from the root of the crate: `["mysql", "read"]`.
type Module = Vec<String>;

/// What one file declares and imports.
#[derive(Default)]
struct File {
    /// The re-exported names, with the path of each definition.
    exports: BTreeMap<String, Module>,
    /// The paths that the file uses, from the root of the crate.
    paths: Vec<Module>,
}

/// The source files of the library by their modules.
struct Library(BTreeMap<Module, File>);

impl Library {
    fn parse(sources: &[(Module, String)]) -> Self {
        let modules: BTreeSet<&Module> = sources.iter().map(|(module, _)| module).collect();
        let parse = |(module, text): &(Module, String)| (module.clone(), File::parse(module, text, &modules));
        Self(sources.iter().map(parse).collect())
    }

    /// The file that defines what a path names: re-exports are followed to the file behind them.
    fn definition(&self, path: &[String]) -> Option<&Module> {
        let mut path = path.to_vec();
        // A chain of re-exports is never longer than the tree is deep.
        for _ in 0..16 {
            let length = (0..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length]))?;
            let (module, file) = self.0.get_key_value(&path[..length])?;
            match path.get(length).and_then(|name| file.exports.get(name)) {
                Some(origin) => path = origin.iter().chain(&path[length + 1..]).cloned().collect(),
                None => return Some(module),
            }
        }
        None
    }

    /// The files that each file imports, except itself and its parents.
    fn imports(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let imports = |(module, file): (&'_ Module, &'_ File)| -> BTreeSet<&Module> {
            let definitions = file.paths.iter().filter_map(|path| self.definition(path));
            // A child module may use its parent, which declares it.
            definitions.filter(|found| !module.starts_with(found)).collect()
        };
        self.0.iter().map(|entry| (entry.0, imports(entry))).collect()
    }

    /// The sets of files that import each other in a circle: the strongly connected components of more than one file.
    fn circles(&self) -> Vec<BTreeSet<String>> {
        let imports = self.imports();
        let mut reachable: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
        for from in self.0.keys() {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(module) = open.pop() {
                open.extend(imports.get(module).into_iter().flatten().filter(|next| seen.insert(**next)));
            }
            reachable.insert(from, seen);
        }
        let circle = |module: &Module| -> BTreeSet<String> {
            let ahead = reachable[module].iter();
            ahead.filter(|other| reachable[**other].contains(module)).map(|other| other.join("/")).collect()
        };
        let circles: BTreeSet<BTreeSet<String>> = self.0.keys().map(circle).collect();
        circles.into_iter().filter(|circle| circle.len() > 1).collect()
    }
}

impl File {
    fn parse(module: &[String], text: &str, modules: &BTreeSet<&Module>) -> Self {
        let code = code_of(text);
        let mut file = Self::default();
        // The modules that a short name stands for in this file: its children, and modules that it imports.
        let mut aliases: BTreeMap<String, Module> = BTreeMap::new();
        for known in modules.iter().filter(|known| known.len() == module.len() + 1 && known.starts_with(module)) {
            aliases.insert(known[module.len()].clone(), (**known).clone());
        }
        let mut body = String::new();
        for statement in code.split_inclusive(';') {
            let Some((visibility, tree)) = use_statement(statement) else {
                body.push_str(statement);
                continue;
            };
            for (path, name) in leaves(tree) {
                let Some(path) = absolute(&path, module, &aliases) else { continue };
                if visibility.is_empty() {
                    if modules.contains(&path) {
                        aliases.insert(name, path);
                    } else {
                        file.paths.push(path);
                    }
                } else {
                    file.exports.insert(name, path);
                }
            }
        }
        file.paths.extend(paths(&body).iter().filter_map(|path| absolute(path, module, &aliases)));
        file
    }
}

/// The visibility and the tree of a statement that ends in `use …;`.
fn use_statement(statement: &str) -> Option<(&str, &str)> {
    let line_start =
        statement.rfind("\nuse ").or_else(|| statement.rfind("\npub use ")).or_else(|| statement.rfind("\npub("));
    let text = statement.get(line_start.map_or(0, |at| at + 1)..)?.trim_start();
    let (before, tree) = text.split_once("use ")?;
    let visibility = before.trim();
    (visibility.is_empty() || visibility == "pub" || (visibility.starts_with("pub(") && visibility.ends_with(')')))
        .then(|| (visibility, tree.trim_end_matches(';').trim()))
}

/// The paths of a `use` tree, each with the name that it is imported as.
fn leaves(tree: &str) -> Vec<(Module, String)> {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, Some(group.trim_end().strip_suffix('}').unwrap_or(group))),
        None => (tree, None),
    };
    let head: Module = head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let Some(group) = group else {
        let (last, name) = match head.last().and_then(|last| last.split_once(" as ")) {
            Some((last, name)) => (last.to_owned(), name.trim().to_owned()),
            None => (head.last().cloned().unwrap_or_default(), head.last().cloned().unwrap_or_default()),
        };
        let mut path = head;
        path.pop();
        let name = if last == "self" { path.last().cloned().unwrap_or_default() } else { name };
        path.extend((last != "self").then_some(last));
        return vec![(path, name)];
    };
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
    }
    let inner = parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| {
        let is_self = part.trim() == "self";
        leaves(part.trim()).into_iter().map(move |(path, name)| (path, name, is_self))
    });
    inner
        .map(|(path, name, is_self)| {
            let name = if is_self { head.last().cloned().unwrap_or_default() } else { name };
            (head.iter().cloned().chain(path).collect(), name)
        })
        .collect()
}

/// The paths of more than one name in code.
fn paths(code: &str) -> Vec<Module> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_part(c)).filter(|word| word.contains("::") && !word.starts_with(':'));
    words.map(|word| word.split("::").map(str::to_owned).filter(|part| !part.is_empty()).collect()).collect()
}

/// The path from the root of the crate; `None` for a path of another crate.
fn absolute(path: &[String], module: &[String], aliases: &BTreeMap<String, Module>) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module.split_last()?.1.to_vec(),
        name => aliases.get(name)?.clone(),
    };
    let mut rest = rest;
    while let Some((first, further)) = rest.split_first().filter(|(first, _)| *first == "super") {
        let _ = first;
        base.pop();
        rest = further;
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

fn library() -> Library {
    let mut found = vec![(sources().join("lib.rs"), Vec::new())];
    files(&sources(), &[], &mut found);
    let read = |(file, module): (_, Module)| (module, fs::read_to_string(file).unwrap());
    let mut all: Vec<(Module, String)> = found.into_iter().map(read).collect();
    let mut command = vec![];
    files(&sources().join("bin/dbgraft"), &["bin".to_owned()], &mut command);
    // The command is a crate of its own, with its own root.
    let root = |module: Module| if module == ["bin", "main"] { vec!["bin".to_owned()] } else { module };
    all.extend(command.into_iter().map(|(file, module)| {
        let text = fs::read_to_string(file).unwrap().replace("crate::", "crate::bin::");
        (root(module), text)
    }));
    Library::parse(&all)
}

#[test]
fn no_files_import_each_other() {
    let library = library();
    let edges: usize = library.imports().values().map(BTreeSet::len).sum();
    assert!(edges > 300, "only {edges} imports were found");
    let circles: Vec<String> =
        library.circles().into_iter().map(|circle| circle.into_iter().collect::<Vec<_>>().join(", ")).collect();
    assert!(circles.is_empty(), "these files import each other:\n{}", circles.join("\n"));
}

#[test]
fn circles_are_found_through_groups_and_re_exports_and_short_names() {
    let circles = |files: &[(&str, &str)]| -> Vec<String> {
        let module = |name: &str| name.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (module(name), (*text).to_owned())).collect();
        let circles = Library::parse(&files).circles();
        circles.into_iter().map(|circle| circle.into_iter().collect::<Vec<_>>().join(" ")).collect()
    };
    let none: [&str; 0] = [];
    // Directly, by a group, and by a path within the code.
    assert_eq!(circles(&[("a", "use crate::b::{X, Y};\n"), ("b", "fn f() { crate::a::g(); }\n")]), ["a b"]);
    assert_eq!(circles(&[("a", "use crate::b::X;\n"), ("b", "use crate::c::X;\n"), ("c", "")]), none);
    // Through a module that only re-exports: the circle consists of the defining files.
    let module = "mod x;\nmod y;\npub(crate) use x::{X as Z};\npub use self::y::Y;\n";
    assert_eq!(circles(&[("r", module), ("r/x", "use super::Y;\n"), ("r/y", "use super::Z;\n")]), ["r/x r/y"]);
    assert_eq!(circles(&[("r", module), ("r/x", "use super::y::Y;\n"), ("r/y", "")]), none);
    // A parent and its children are no circle.
    let parent = "mod x;\nuse x::X;\nstruct Own;\n";
    assert_eq!(circles(&[("r", parent), ("r/x", "use super::Own;\n")]), none);
    let outer = "use crate::r::Own;\n";
    assert_eq!(circles(&[("r", parent), ("r/x", "use crate::o::O;\n"), ("o", outer)]), ["o r r/x"]);
    // By the short name of a module.
    let short = "use crate::r::{self, y};\nfn f() { y::g(); }\n";
    assert_eq!(circles(&[("r", module), ("r/x", short), ("r/y", "use super::x::X;\n")]), ["r/x r/y"]);
}

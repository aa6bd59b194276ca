//! Keeps `docs/conformance.md` honest: its rows are those that tests are named after, and its last
//! column tells where these tests are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// For each row, such as `NSI-18`, where its tests are, such as `engine/nsi`.
type Rows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn rows_are_documented_and_tested() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/conformance.md")).unwrap();
    let documented = documented(&document);
    let mut tested = Rows::new();
    for entry in fs::read_dir(Path::new(ROOT).join("crates")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        collect(&entry.path(), &name, &mut tested).unwrap();
    }
    assert!(!tested.is_empty(), "no tests found below {ROOT}");

    let nowhere = BTreeSet::new();
    let rows: BTreeSet<_> = documented.keys().chain(tested.keys()).collect();
    let wrong: Vec<_> = rows
        .into_iter()
        .filter(|row| documented.get(*row) != tested.get(*row))
        .map(|row| {
            let documented = documented.get(row).unwrap_or(&nowhere);
            let tested = tested.get(row).unwrap_or(&nowhere);
            format!("{row}: documented {documented:?}, tested {tested:?}")
        })
        .collect();
    assert!(wrong.is_empty(), "docs/conformance.md has to be corrected:\n{}", wrong.join("\n"));
}

/// Reads the tables of the document.
fn documented(document: &str) -> Rows {
    let mut rows = Rows::new();
    for line in document.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, _, _, tests] = cells[..] else { panic!("not four columns: {line}") };
        if row.contains(|character: char| character.is_ascii_digit()) {
            let tests = tests.split(", ").map(|test| test.trim_matches('`').to_owned()).collect();
            assert_eq!(rows.insert(row.to_owned(), tests), None, "{row} is there twice");
        }
    }
    rows
}

/// Adds the tests in the sources below a directory, which belongs to the named crate.
fn collect(directory: &Path, crate_name: &str, rows: &mut Rows) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, crate_name, rows)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let place = format!("{crate_name}/{}", module(&path));
            for row in fs::read_to_string(&path)?.lines().flat_map(rows_of_line) {
                rows.entry(row).or_default().insert(place.clone());
            }
        }
    }
    Ok(())
}

/// Names the module that a file holds.
fn module(path: &Path) -> String {
    let named = match path.file_stem().and_then(OsStr::to_str) {
        Some("main" | "mod" | "lib") => path.parent().and_then(Path::file_name),
        _ => path.file_stem(),
    };
    named.unwrap_or_default().to_string_lossy().into_owned()
}

/// Finds the rows that the functions and trials of a line are named after.
fn rows_of_line(line: &str) -> Vec<String> {
    let functions = line.split("fn ").skip(1);
    let trials = line.split('"').skip(1);
    functions.chain(trials).flat_map(rows_of_name).collect()
}

/// Reads the rows that a name begins with.
fn rows_of_name(name: &str) -> Vec<String> {
    let name = name.split(|at: char| !at.is_ascii_alphanumeric() && at != '_').next();
    let words: Vec<_> = name.unwrap_or_default().split('_').collect();
    words
        .chunks_exact(2)
        .map_while(|pair| {
            let [family, number] = pair else { return None };
            let is_family = (1..=3).contains(&family.len())
                && family.chars().all(|character| character.is_ascii_lowercase());
            let is_number = number.len() == 2 && number.chars().all(|at| at.is_ascii_digit());
            (is_family && is_number).then(|| format!("{}-{number}", family.to_uppercase()))
        })
        .collect()
}

//! What is said about configurations with mistakes: one file in `tests/malformed` or
//! `tests/doubtful` each, and one snapshot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use magpie_config::{LoadError, Severity, load};

#[test]
fn every_mistake_is_shown_at_its_place() {
    let files = files("tests/malformed");
    assert!(files.len() >= 30, "{} files", files.len());
    for file in files {
        let Err(LoadError::Invalid(mistakes)) = load(&file) else {
            panic!("{} is taken for good, or cannot be read", file.display());
        };
        assert!(mistakes.has_errors(), "{}", file.display());
        snapshot("malformed", &file, &mistakes.render(false));
    }
}

#[test]
fn what_is_perhaps_not_meant_is_a_warning() {
    for file in files("tests/doubtful") {
        let loaded = load(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!loaded.warnings.is_empty(), "{}", file.display());
        assert!(loaded.warnings.iter().all(|remark| remark.severity == Severity::Warning));
        snapshot("doubtful", &file, &loaded.warnings.render(false));
    }
}

#[test]
fn colors_are_for_terminals_only() {
    let Err(LoadError::Invalid(mistakes)) = load(Path::new("tests/malformed/empty.toml")) else {
        panic!("the empty file is taken for good");
    };
    assert!(mistakes.render(true).contains('\u{1b}'));
    assert!(!mistakes.render(false).contains('\u{1b}'));
    assert_eq!(format!("{mistakes}\n"), mistakes.render(false));
}

/// A terminal does what a file says in control characters: none of them may come through.
#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let file = Path::new("tests/malformed/control-characters.toml");
    let Err(LoadError::Invalid(mistakes)) = load(file) else {
        panic!("control characters are taken for good");
    };
    let shown = mistakes.render(false);
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let Err(error) = load(Path::new("tests/malformed/none.toml")) else {
        panic!("a file that is not there is taken for good");
    };
    assert_eq!(error.to_string(), "cannot read tests/malformed/none.toml");
}

/// Files below a folder, and `magpie.toml` of folders in it.
fn files(folder: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).expect(folder);
    let paths = entries.map(|entry| entry.expect(folder).path());
    paths.map(|path| if path.is_dir() { path.join("magpie.toml") } else { path }).collect()
}

fn snapshot(kind: &str, file: &Path, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let name = match file.file_stem().and_then(|name| name.to_str()) {
        Some("magpie") | None => file.parent().and_then(Path::file_name),
        Some(_) => file.file_stem(),
    };
    let name = name.and_then(|name| name.to_str()).expect("the files have names");
    settings.bind(|| insta::assert_snapshot!(format!("{kind}--{name}"), text));
}

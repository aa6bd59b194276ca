//! Whole files of npd6 and ndppd, each with a snapshot of all that is said about it and of what
//! it comes to.

use std::fs;
use std::path::{Path, PathBuf};

use magpie_config::import::{Imported, ndppd, npd6};
use magpie_config::{Diagnostics, Source};

use crate::summary::assert_loads_again;

#[test]
fn files_of_npd6_are_imported_whole() {
    compare("npd6", npd6);
}

#[test]
fn files_of_ndppd_are_imported_whole() {
    compare("ndppd", ndppd);
}

fn compare(program: &str, import: fn(Source) -> Result<Imported, Diagnostics>) {
    let folder = Path::new("tests/import").join(program);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let text = fs::read(&file).expect("it can be read");
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = Source::new(name.as_str(), String::from_utf8_lossy(&text));
        let shown = match import(source) {
            Ok(imported) => {
                assert_loads_again(&imported.config);
                format!(
                    "{}---\n{}",
                    imported.warnings.render(false),
                    magpie_config::render(&imported.config)
                )
            }
            Err(errors) => errors.render(false),
        };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{program}-{stem}"), shown);
        });
    }
}

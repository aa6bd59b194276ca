//! Imports the configuration file of ndppd.

mod keys;
mod read;
mod responders;
mod tree;
mod value;

use std::ops::Range;
use std::time::Duration;

use self::keys::Dialect;
use super::Imported;
use super::remarks::{Remarks, comment, error};
use crate::model::{Config, Daemon, Method, RulePrefix};
use crate::{Diagnostics, Source};

/// Imports a file.
pub(super) fn import(source: Source) -> Result<Imported, Diagnostics> {
    let text = source.text.clone();
    let mut remarks = Remarks::new(source);
    let mut odd = Vec::new();
    let file = tree::parse(&text, &mut remarks, &mut odd);
    let dialect = keys::dialect(&file);
    let mut comments = Vec::new();
    let version = match dialect {
        Dialect::V02 => "ndppd 0.2",
        Dialect::V10 => "ndppd 1.0",
    };
    let head = format!(
        "Imported from {} ({version}). Line numbers are those of that file.",
        remarks.name()
    );
    comment(&mut comments, &head);
    comments.append(&mut odd);
    let proxies = read::file(&file, dialect, &mut remarks, &mut comments);
    let relays = responders::make(proxies, dialect, &mut remarks, &mut comments);
    if relays.is_empty() && !remarks.has_errors() {
        let whole = 0..text.find('\n').unwrap_or(text.len());
        remarks.error(
            error(&whole, "no proxy here answers anybody: there is nothing to import").help(
                "expected something like 'proxy eth0 { rule 2001:db8:1::/64 { iface eth1 } }'",
            ),
        );
    }
    remarks.finish(Config { daemon: Daemon::default(), relays, comments })
}

/// A `proxy` section.
#[derive(Debug)]
struct Proxy {
    interface: String,
    span: Range<usize>,
    settings: Settings,
    rules: Vec<Rule>,
    comments: Vec<String>,
}

/// What is set for a proxy, with the places.
#[derive(Clone, Debug, Default)]
struct Settings {
    router: Option<bool>,
    autowire: Option<(bool, Range<usize>)>,
    probe_interval: Option<(Duration, Range<usize>)>,
    hold_down: Option<(Duration, Range<usize>)>,
    probe_retries: Option<(u8, Range<usize>)>,
}

/// A `rule` section.
#[derive(Debug)]
struct Rule {
    prefix: RulePrefix,
    /// Only one of `static`, `route` and `probe`.
    method: Method,
    /// Where to look.
    to: Option<String>,
    /// 1.0 sets it for each rule.
    autowire: Option<(bool, Range<usize>)>,
    table: Option<(u8, Range<usize>)>,
    span: Range<usize>,
    comments: Vec<String>,
}

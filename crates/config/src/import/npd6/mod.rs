//! Imports the configuration file of npd6.

mod line;
mod lists;
mod prefix;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::ops::Range;

use ipnet::Ipv6Net;
use magpie_engine::{Members, RouterFlag};

use self::line::{Entry, Line};
use self::prefix::{Oddity, Prefix, Refused};
use super::Imported;
use super::remarks::{Remarks, comment, error, warning};
use crate::model::{Config, Daemon, Kind, Method, Pattern, Relay, Rule, RulePrefix};
use crate::suggest::closest;
use crate::value::{check_interface_name, check_prefix};
use crate::{Diagnostics, Source};

/// Imports a file.
pub(super) fn import(source: Source) -> Result<Imported, Diagnostics> {
    let text = source.text.clone();
    let mut importer = Importer::new(source);
    for line in line::lines(&text) {
        importer.line(&text, line);
    }
    importer.finish(&text)
}

/// What was read so far.
struct Importer {
    remarks: Remarks,
    /// What goes above the responder.
    comments: Vec<String>,
    interfaces: Vec<Written<String>>,
    prefixes: Vec<Written<Option<Ipv6Net>>>,
    list_type: Option<(ListType, Entry)>,
    listed: Vec<Listed>,
    /// The prefixes among them.
    known: BTreeSet<Ipv6Net>,
    allowed: Vec<Pattern>,
    denied: Vec<Pattern>,
    expressions: usize,
    router: RouterFlag,
    seen: Option<usize>,
    /// Where each setting was made that counts once.
    once: BTreeMap<&'static str, Range<usize>>,
}

/// Something, and where it is written.
struct Written<T> {
    value: T,
    text: String,
    span: Range<usize>,
    comments: Vec<String>,
}

/// An entry of a list, and where it is.
struct Listed {
    pattern: Pattern,
    span: Range<usize>,
    /// Where each character of an expression is.
    places: Vec<usize>,
}

/// What the lists are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ListType {
    None,
    Black,
    White,
    /// npd6 takes it for none.
    Unknown,
}

impl Importer {
    fn new(source: Source) -> Self {
        Self {
            remarks: Remarks::new(source),
            comments: Vec::new(),
            interfaces: Vec::new(),
            prefixes: Vec::new(),
            list_type: None,
            listed: Vec::new(),
            known: BTreeSet::new(),
            allowed: Vec::new(),
            denied: Vec::new(),
            expressions: 0,
            // As npd6 has it.
            router: RouterFlag::On,
            seen: None,
            once: BTreeMap::new(),
        }
    }

    /// Adds a warning, and the same to the comments above the responder.
    fn warn(&mut self, remark: crate::Diagnostic) {
        let said = self.remarks.warn(remark);
        comment(&mut self.comments, &said);
    }

    /// Adds a comment above the responder.
    fn note(&mut self, entry: &Entry, said: &str) {
        let said = format!("{} = {}: {said}", entry.key, entry.value);
        let said = self.remarks.note(&entry.span, &said);
        comment(&mut self.comments, &said);
    }

    fn line(&mut self, text: &str, line: Range<usize>) {
        let parsed = line::parse(text, line.clone());
        self.check_length(text, line, &parsed);
        match parsed {
            Line::Blank | Line::Comment => {}
            Line::Incomplete { key, span } => self.incomplete(&key, &span),
            Line::Entry(entry) => self.entry(entry),
        }
    }

    /// Compares what a long line says with what npd6 reads in its pieces.
    fn check_length(&mut self, text: &str, line: Range<usize>, parsed: &Line) {
        let pieces = line::pieces(text, line);
        if pieces.len() < 2 {
            return;
        }
        let known = |line: &Line| match line {
            Line::Entry(entry) if KEYS.contains(&entry.key.as_str()) => {
                Some((entry.key.clone(), entry.rest.clone()))
            }
            _ => None,
        };
        let meant: Vec<_> = known(parsed).into_iter().collect();
        let parsed: Vec<_> = pieces.iter().map(|piece| line::parse(text, piece.clone())).collect();
        let read: Vec<_> = parsed.iter().filter_map(known).collect();
        if read == meant {
            return;
        }
        let (Some(first), Some(tail)) = (pieces.first(), pieces.get(1)) else { return };
        let made = match parsed.iter().skip(1).find_map(known) {
            Some((key, rest)) => format!("a line of its own, '{key}={rest}', and obeys it"),
            None => "a line of its own, and skips it".to_owned(),
        };
        let span = tail.start..pieces.last().unwrap_or(tail).end;
        self.warn(
            warning(
                &span,
                format!("npd6 reads 127 characters of a line, takes the rest for {made}"),
            )
            .label("not part of this line for npd6")
            .also(first.clone(), "as far as npd6 reads")
            .help("imported is the line as it stands"),
        );
    }

    /// A line that npd6 skips because it has no value, or no `=`.
    fn incomplete(&mut self, key: &str, span: &Range<usize>) {
        let message = match key {
            "" => "npd6 skips this line: it has no key".to_owned(),
            key => format!("npd6 skips this line: '{key}' has no value"),
        };
        self.warn(warning(span, message).label("skipped, and not imported"));
    }

    fn entry(&mut self, entry: Entry) {
        let Some(key) = KEYS.into_iter().find(|key| **key == entry.key) else {
            self.unknown(&entry);
            return;
        };
        if !MANY.contains(&key)
            && let Some(earlier) = self.once.insert(key, entry.span.clone())
        {
            self.warn(
                warning(&earlier, format!("'{key}' is given twice, and the last one counts"))
                    .label("without effect")
                    .also(entry.span.clone(), "counts"),
            );
        }
        match key {
            "prefix" => self.prefix(entry),
            "interface" => self.interface(entry),
            "listtype" => self.list_type(entry),
            "addrlist" => self.address(&entry),
            "exprlist" => self.expression(entry),
            _ => self.setting(key, &entry),
        }
    }

    /// A key that npd6 does not know: perhaps one that its users wished it knew.
    fn unknown(&mut self, entry: &Entry) {
        let list = match entry.key.to_ascii_lowercase().as_str() {
            "whitelist" => Some("allow"),
            "blacklist" => Some("deny"),
            _ => None,
        };
        if let Some(list) = list {
            self.wish(entry, list);
            return;
        }
        let cased = KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(&entry.key));
        let mut remark = warning(
            &entry.key_span,
            format!("npd6 knows no key '{}' and skips the line", entry.key),
        )
        .label("skipped, and not imported");
        if let Some(meant) = cased.or_else(|| closest(&entry.key, KEYS)) {
            remark = remark.help(format!("did you mean '{meant}'?"));
        }
        self.warn(remark);
    }

    /// A list entry as npd6's users asked for it.
    fn wish(&mut self, entry: &Entry, list: &str) {
        let Some((pattern, _)) = pattern(&entry.value) else {
            self.remarks.error(
                error(&entry.value_span, format!("'{}' is no address or prefix", entry.value))
                    .label("expected an address or a prefix, such as 2001:db8:1::/88"),
            );
            return;
        };
        if is_everything(&pattern) {
            self.remarks.error(
                error(&entry.value_span, format!("'{}' is every address there is", entry.value))
                    .label("npd6 skips the line")
                    .help("leave this line out"),
            );
            return;
        }
        self.warn(
            warning(
                &entry.key_span,
                format!("npd6 knows no key '{}' and skips the line", entry.key),
            )
            .label(format!("imported to '{list}'")),
        );
        let into = if list == "allow" { &mut self.allowed } else { &mut self.denied };
        into.push(pattern);
    }

    fn prefix(&mut self, entry: Entry) {
        let span = entry.value_span.clone();
        let mut comments = Vec::new();
        let value = match prefix::parse(&entry.value) {
            Ok(Prefix { net, oddity }) => {
                if let Some(oddity) = oddity {
                    let said = self.remarks.warn(describe_oddity(oddity, &entry, net));
                    comment(&mut comments, &said);
                }
                Some(net)
            }
            Err(Refused::MatchesNothing) => {
                self.warn(
                    warning(&span, "npd6 matches nothing with a length over 128")
                        .label("left out")
                        .help("write a length from 16 to 128"),
                );
                None
            }
            Err(refused) => {
                self.remarks.error(describe_refusal(refused, &entry));
                None
            }
        };
        let value = value.filter(|net| match check_prefix(*net) {
            Ok(()) => true,
            Err(refused) => {
                let said = format!("nobody is answered for {net}: {}", refused.label);
                self.warn(warning(&span, said).label("left out"));
                false
            }
        });
        self.prefixes.push(Written { value, text: entry.value, span: entry.span, comments });
    }

    fn interface(&mut self, entry: Entry) {
        let name = entry.value.as_str();
        let span = &entry.value_span;
        if let Some((name, _)) = name.split_once(['#', ';']).or_else(|| name.split_once("//")) {
            self.remarks.error(
                error(
                    span,
                    "npd6 has no comments at the end of a line: it takes this for the name",
                )
                .label("no interface is called so")
                .help(format!("write 'interface = {name}' alone on the line")),
            );
        } else if let Err(refused) = check_interface_name(name) {
            self.remarks.error(error(span, refused.to_string()).label("not an interface"));
        } else if name.len() > LONGEST_NAME {
            self.warn(
                warning(span, format!("npd6 does not start with '{name}'"))
                    .label(format!("names have at most {LONGEST_NAME} characters there")),
            );
        }
        self.interfaces.push(Written {
            value: entry.value.clone(),
            text: entry.value,
            span: entry.span,
            comments: Vec::new(),
        });
    }

    fn list_type(&mut self, entry: Entry) {
        let value = entry.value.to_ascii_lowercase();
        let kind = match entry.value.as_str() {
            "none" => ListType::None,
            "black" => ListType::Black,
            "white" => ListType::White,
            _ => {
                let meant = [("black", ListType::Black), ("white", ListType::White)]
                    .into_iter()
                    .find(|(word, _)| value.starts_with(word));
                let mut remark = warning(
                    &entry.value_span,
                    format!(
                        "npd6 takes '{}' for 'none', and answers whatever the lists say",
                        entry.value
                    ),
                );
                remark = match meant {
                    Some((word, _)) => remark.label(format!("imported as '{word}'")),
                    None => remark.label("expected none, black or white"),
                };
                self.warn(remark);
                meant.map_or(ListType::Unknown, |(_, kind)| kind)
            }
        };
        self.list_type = Some((kind, entry));
    }

    fn address(&mut self, entry: &Entry) {
        let span = &entry.value_span;
        let Some((pattern, address)) = pattern(&entry.value) else {
            self.remarks.error(
                error(span, format!("'{}' is no address", entry.value))
                    .label("npd6 logs an error and leaves it off the list")
                    .help("an address is written out, as in 2001:db8:1::22"),
            );
            return;
        };
        if is_everything(&pattern) {
            self.remarks.error(
                error(span, format!("'{}' is every address there is", entry.value))
                    .label("npd6 lists addresses only, logs an error and leaves this off the list")
                    .help("leave this line out, too"),
            );
            return;
        }
        if !address {
            let how = match pattern {
                Pattern::InterfaceIdentifier { .. } => ", for interface identifiers",
                _ => "",
            };
            self.warn(
                warning(
                    span,
                    "npd6 lists addresses only, logs an error and leaves this off the list",
                )
                .label(format!("imported as the prefix that it is{how}")),
            );
        }
        if let Pattern::Prefix(net) = pattern
            && !self.known.insert(net)
        {
            self.note(entry, "on the list already");
            return;
        }
        self.listed.push(Listed { pattern, span: entry.span.clone(), places: Vec::new() });
    }

    fn expression(&mut self, entry: Entry) {
        self.expressions += 1;
        if self.expressions == MOST_EXPRESSIONS + 1 {
            self.warn(
                warning(
                    &entry.span,
                    format!(
                        "npd6 keeps {MOST_EXPRESSIONS} expressions and drops the rest silently"
                    ),
                )
                .label("imported all the same"),
            );
        }
        self.listed.push(Listed {
            pattern: Pattern::Expression(entry.rest),
            span: entry.span,
            places: entry.rest_places,
        });
    }

    fn finish(mut self, text: &str) -> Result<Imported, Diagnostics> {
        self.check_pairs(text);
        let names: Vec<String> = unique(self.interfaces.iter().map(|it| it.value.clone()));
        if names.len() > Members::MAX {
            let message = format!("{} interfaces are too many for one responder", names.len());
            self.remarks
                .error(error(&(0..0), message).label(format!("there can be {}", Members::MAX)));
        }
        let mut relay = Relay::new(Kind::Responder, names);
        relay.answers.router_flag = self.router;
        for link in &mut relay.links {
            link.answers = relay.answers;
        }
        if let Some(seen) = self.seen {
            relay.limits.seen = seen;
        }
        let silent = self.lists(&mut relay);
        self.pairs(&mut relay, silent);
        relay.comments = std::mem::take(&mut self.comments);
        let mut comments = Vec::new();
        let head = format!(
            "Imported from {} (npd6). Line numbers are those of that file.",
            self.remarks.name()
        );
        comment(&mut comments, &head);
        let config = Config { daemon: Daemon::default(), relays: vec![relay], comments };
        self.remarks.finish(config)
    }

    /// Each prefix belongs to the interface in the same place.
    fn check_pairs(&mut self, text: &str) {
        let (prefixes, interfaces) = (self.prefixes.len(), self.interfaces.len());
        let whole = 0..text.find('\n').unwrap_or(text.len());
        if prefixes == 0 && interfaces == 0 {
            self.remarks.error(
                error(&whole, "there is neither a prefix nor an interface: npd6 does not start")
                    .help("expected lines such as 'prefix = 2001:db8:1:0:' and 'interface = eth0'"),
            );
        } else if prefixes != interfaces {
            let first = self.prefixes.get(interfaces).map(|it| &it.span);
            let second = self.interfaces.get(prefixes).map(|it| &it.span);
            let (span, lacking) = match (first, second) {
                (Some(span), _) => (span.clone(), "no interface goes with this prefix"),
                (None, Some(span)) => (span.clone(), "no prefix goes with this interface"),
                (None, None) => (whole, ""),
            };
            let message = format!(
                "there are {prefixes} prefixes and {interfaces} interfaces: npd6 does not start"
            );
            self.remarks.error(error(&span, message).label(lacking).help(
                "the first prefix belongs to the first interface, and so on; repeat the interface \
                 for each of its prefixes",
            ));
        }
        if prefixes > 1 && prefixes == interfaces {
            comment(
                &mut self.comments,
                "Npd6 1.1.0 hangs with more than one pair of prefix and interface. This does not.",
            );
        }
    }

    /// Makes rules of the pairs; those that list nobody are silent.
    fn pairs(&mut self, relay: &mut Relay, silent: bool) {
        let one_link = relay.links.len() == 1;
        let method = if silent { Method::Deny } else { Method::Static };
        let mut made = BTreeSet::new();
        let interfaces = std::mem::take(&mut self.interfaces);
        let prefixes = std::mem::take(&mut self.prefixes);
        for (prefix, interface) in prefixes.into_iter().zip(interfaces) {
            let Some(net) = prefix.value else { continue };
            let on = if one_link { Vec::new() } else { vec![interface.value.clone()] };
            if !made.insert((interface.value.clone(), net)) {
                self.warn(
                    warning(&prefix.span, "this pair of prefix and interface is given twice")
                        .label("without effect"),
                );
                continue;
            }
            let mut rule = Rule::new(RulePrefix::Net(net), method);
            rule.i_own_this_prefix = method == Method::Static;
            rule.on = on;
            let (first, second) =
                (self.remarks.line(prefix.span.start), self.remarks.line(interface.span.start));
            let said = format!(
                "Line {first}: prefix = {}, with line {second}: interface = {}.",
                prefix.text, interface.text
            );
            comment(&mut rule.comments, &said);
            rule.comments.extend(prefix.comments);
            let said = match method {
                Method::Static => {
                    "Like npd6, this answers for addresses that no host has. With method = \"route\" \
                     only those are answered for that the kernel has a route to, with \"probe\" only \
                     those that answer on another link."
                }
                _ => "An empty white list: npd6 answers for nobody.",
            };
            comment(&mut rule.comments, said);
            relay.rules.push(rule);
        }
    }
}

/// Reads an address, a prefix, or the first bits of an interface identifier; says whether it is
/// an address.
fn pattern(text: &str) -> Option<(Pattern, bool)> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((Pattern::Prefix(Ipv6Net::from(address)), true));
    }
    let net: Ipv6Net = text.parse().ok()?;
    let identifier = u128::from(net.addr());
    let length = u32::from(net.prefix_len());
    // `::021d:5500:0:0/24` can only be meant to count from the middle of the address.
    if length <= 64
        && net.trunc().addr() != net.addr()
        && let Ok(identifier) = u64::try_from(identifier)
    {
        let mask = u64::MAX.checked_shl(64 - length).unwrap_or(0);
        return Some((Pattern::InterfaceIdentifier { mask, value: identifier & mask }, false));
    }
    Some((Pattern::Prefix(net.trunc()), false))
}

/// Whether a list with it says nothing about anybody.
fn is_everything(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Prefix(net) => net.prefix_len() == 0,
        Pattern::InterfaceIdentifier { mask, .. } => *mask == 0,
        _ => false,
    }
}

fn describe_oddity(oddity: Oddity, entry: &Entry, net: Ipv6Net) -> crate::Diagnostic {
    let span = &entry.value_span;
    let length = net.prefix_len();
    match oddity {
        Oddity::ImpliedLength => {
            warning(span, format!("npd6 takes this for {net}: the groups that are written count"))
                .label(format!("imported as /{length}"))
                .help("write the length to be sure")
        }
        Oddity::MaskIgnored => warning(span, "npd6 takes the mask 9999 for none")
            .label(format!("imported as /{length}")),
        Oddity::MaskTrailer => {
            warning(span, "npd6 has no comments at the end of a line: this is part of the mask")
                .label(format!("npd6 reads its digits only; imported as /{length}"))
        }
        Oddity::NeverMatches => {
            warning(span, "bits are set beyond the mask: npd6 never matches anything with it")
                .label(format!("imported as {net}"))
        }
    }
}

fn describe_refusal(refused: Refused, entry: &Entry) -> crate::Diagnostic {
    let span = &entry.value_span;
    let value = &entry.value;
    match refused {
        Refused::Garbage => error(
            span,
            format!("'{value}' is no prefix: npd6 uses what its memory happens to hold"),
        )
        .label("expected groups of up to four hexadecimal digits"),
        Refused::MatchesAll => {
            let mut remark = error(span, "npd6 answers for every address there is with this mask")
                .label("this cannot be meant");
            if value.contains("//") || value.contains('#') {
                remark = remark.help(
                    "npd6 has no comments at the end of a line: give the comment its own line",
                );
            } else {
                remark = remark.help("write the prefix that is yours, as in 2001:db8:1:0:/64");
            }
            remark
        }
        Refused::TooShort => {
            error(span, "no user owns a prefix that short").label("the length has to be 16 or more")
        }
        Refused::Invalid | Refused::MatchesNothing => {
            let help = if value.contains('#') || value.contains(';') {
                "npd6 has no comments at the end of a line: give the comment its own line"
                    .to_owned()
            } else {
                let colon = format!("{value}:");
                match prefix::parse(&colon) {
                    Ok(_) => {
                        format!("there has to be a colon after each group: did you mean '{colon}'?")
                    }
                    Err(_) => "npd6 wants the leading groups with a colon after each, as in \
                               2001:db8:1:0: or 2001:db8:1:0::/64"
                        .to_owned(),
                }
            };
            error(
                span,
                format!("npd6 says that the prefix '{value}' is invalid, and does not start"),
            )
            .label("not in the form that npd6 reads")
            .help(help)
        }
    }
}

/// Removes those that come again.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

/// All keys of npd6.
const KEYS: [&str; 13] = [
    "prefix",
    "interface",
    "linkOption",
    "ignoreLocal",
    "routerNA",
    "maxHops",
    "collectTargets",
    "listtype",
    "addrlist",
    "exprlist",
    "listlogging",
    "pollErrorLimit",
    "ralogging",
];

/// Those that may come more than once.
const MANY: [&str; 4] = ["prefix", "interface", "addrlist", "exprlist"];

/// Characters of an interface's name that npd6 can open.
const LONGEST_NAME: usize = 11;

/// Expressions that npd6 keeps.
const MOST_EXPRESSIONS: usize = 64;

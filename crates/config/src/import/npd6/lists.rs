//! Imports npd6's black and white lists.

use std::ops::Range;

use magpie_engine::Expressions;

use super::super::remarks::{error, lines, warning};
use super::{Importer, ListType, Listed};
use crate::model::{Pattern, Relay};

impl Importer {
    /// Fills the lists of the responder; returns whether they forbid everything.
    pub(super) fn lists(&mut self, relay: &mut Relay) -> bool {
        relay.allow = std::mem::take(&mut self.allowed);
        relay.deny = std::mem::take(&mut self.denied);
        let listed = std::mem::take(&mut self.listed);
        let Some((kind, entry)) = self.list_type.take() else {
            if let Some(first) = listed.first() {
                self.not_looked_at(&first.span.clone(), &listed);
            }
            return false;
        };
        match kind {
            ListType::None | ListType::Unknown if listed.is_empty() => {
                self.note(&entry, "there are no lists");
            }
            ListType::None => self.not_looked_at(&entry.span, &listed),
            ListType::Unknown => self.remarks.error(
                error(&entry.span, "it is not known what the lists are for")
                    .help("write 'listtype = black', 'white' or 'none'"),
            ),
            ListType::Black => {
                self.note(&entry, &format!("deny{}", self.origin(&listed)));
                relay.deny.extend(self.checked(kind, listed));
            }
            ListType::White => {
                self.note(&entry, &format!("allow{}", self.origin(&listed)));
                relay.allow.extend(self.checked(kind, listed));
                if relay.allow.is_empty() {
                    self.warn(
                        warning(&entry.span, "the white list is empty: npd6 answers nobody")
                            .label("imported as rules that deny"),
                    );
                    return true;
                }
            }
        }
        false
    }

    fn not_looked_at(&mut self, span: &Range<usize>, listed: &[Listed]) {
        let message = format!("npd6 looks at no list without a listtype{}", self.origin(listed));
        self.warn(warning(span, message).label("the list is not imported"));
    }

    /// Which lines a list is made of.
    fn origin(&self, listed: &[Listed]) -> String {
        let of = |expression: bool| -> Vec<usize> {
            listed
                .iter()
                .filter(|entry| matches!(entry.pattern, Pattern::Expression(_)) == expression)
                .map(|entry| self.remarks.line(entry.span.start))
                .collect()
        };
        let parts: Vec<String> = [("addrlist", of(false)), ("exprlist", of(true))]
            .into_iter()
            .filter(|(_, numbers)| !numbers.is_empty())
            .map(|(key, numbers)| format!("{key}, {}", lines(&numbers)))
            .collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
    }

    /// The entries of a list, without expressions that are none.
    fn checked(&mut self, kind: ListType, listed: Vec<Listed>) -> Vec<Pattern> {
        let mut kept = Vec::new();
        for entry in listed {
            if let Pattern::Expression(text) = &entry.pattern
                && let Err(refused) = Expressions::parse([text])
            {
                let place = entry.place(&refused.span);
                self.bad_expression(kind, &entry.span, &place, &refused.kind.to_string());
                continue;
            }
            kept.push(entry);
        }
        self.check_together(kind, &kept);
        kept.into_iter().map(|entry| entry.pattern).collect()
    }

    /// A line that is no expression matches nothing for npd6: without it, a white list allows
    /// less and a black list more.
    fn bad_expression(
        &mut self,
        kind: ListType,
        line: &Range<usize>,
        place: &Range<usize>,
        reason: &str,
    ) {
        if kind == ListType::White {
            self.warn(
                warning(place, format!("{reason}: npd6 never matches anything with this line"))
                    .label("the line is left out")
                    .also(line.clone(), "this line"),
            );
        } else {
            self.remarks.error(
                error(place, format!("{reason}: npd6 denies nobody for this line"))
                    .label("here")
                    .also(line.clone(), "this line"),
            );
        }
    }

    /// Expressions of one list share what they store.
    fn check_together(&mut self, kind: ListType, listed: &[Listed]) {
        let lines: Vec<(&Listed, &str)> = listed
            .iter()
            .filter_map(|entry| match &entry.pattern {
                Pattern::Expression(text) => Some((entry, text.as_str())),
                _ => None,
            })
            .collect();
        let expressions = match Expressions::parse(lines.iter().map(|(_, text)| text)) {
            Ok(expressions) => expressions,
            Err(refused) => {
                let Some((entry, _)) = lines.get(refused.line) else { return };
                self.remarks.error(error(&entry.place(&refused.span), refused.kind.to_string()));
                return;
            }
        };
        for doubt in expressions.warnings() {
            let Some((entry, _)) = lines.get(doubt.line) else { continue };
            self.warn(
                warning(&entry.place(&doubt.span), doubt.kind.to_string())
                    .label("npd6 reads it so, and so it is imported"),
            );
        }
        let divides = lines.iter().find(|(_, text)| divides_by_zero(text));
        if let Some((entry, _)) = divides
            && kind == ListType::Black
        {
            self.warn(
                warning(&entry.span, "npd6 answers, or crashes, where this divides by zero")
                    .label("Magpie denies the target then"),
            );
        }
    }
}

/// Whether an expression divides by anything but a number other than 0.
fn divides_by_zero(text: &str) -> bool {
    text.match_indices(['/', '%']).any(|(at, _)| {
        let divisor = text.get(at + 1..).unwrap_or_default();
        let end = divisor.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(divisor.len());
        let number = divisor.get(..end).unwrap_or_default();
        !number.starts_with(|c: char| c.is_ascii_digit())
            || number.chars().all(|c| matches!(c, '0' | 'x' | 'X'))
    })
}

impl Listed {
    /// The place in the file of a part of an expression.
    fn place(&self, part: &Range<usize>) -> Range<usize> {
        let Pattern::Expression(text) = &self.pattern else { return self.span.clone() };
        let place = |byte: usize| {
            let character = text.char_indices().take_while(|(at, _)| *at < byte).count();
            self.places.get(character).copied()
        };
        let end = self.span.end;
        let start = place(part.start).unwrap_or(end);
        // The character after the last one may follow blanks.
        let last = part.end.checked_sub(1).filter(|last| *last >= part.start).and_then(place);
        start..last.map_or(start, |last| (last + 1).min(end))
    }
}

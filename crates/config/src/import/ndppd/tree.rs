//! Takes ndppd's file apart into statements, and points out where ndppd 0.2 does so otherwise.
//!
//! ndppd's own reader takes anything for a statement; much of what looks like one to a human is
//! silently something else to it. This one reads what the text says, and warns of each place
//! where the original reads something else.

use std::ops::Range;

use super::super::remarks::{Remarks, comment, error, warning};
use crate::Diagnostic;

/// `key value { statements }`, of which all but the key may be missing.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) key: Word,
    pub(super) value: Option<Word>,
    pub(super) block: Option<Vec<Statement>>,
}

/// A word, and where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

impl Statement {
    /// The key and the value.
    pub(super) fn span(&self) -> Range<usize> {
        let end = self.value.as_ref().map_or(self.key.span.end, |value| value.span.end);
        self.key.span.start..end
    }
}

/// Takes a text apart. What is said about it is added to `comments` too.
pub(super) fn parse(
    text: &str,
    remarks: &mut Remarks,
    comments: &mut Vec<String>,
) -> Vec<Statement> {
    let mut reader = Reader { text, at: 0, remarks, comments, lost: false };
    reader.byte_order_mark();
    reader.statements()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    remarks: &'a mut Remarks,
    comments: &'a mut Vec<String>,
    /// An error was reported from which there is no way to go on.
    lost: bool,
}

/// A block that is not closed yet.
struct Open {
    /// What it belongs to.
    header: Statement,
    brace: usize,
    statements: Vec<Statement>,
}

impl Reader<'_> {
    fn warn(&mut self, remark: Diagnostic) {
        let said = self.remarks.warn(remark);
        comment(self.comments, &said);
    }

    fn statements(&mut self) -> Vec<Statement> {
        let mut done = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.skip(true);
            let Some(c) = self.peek() else { break };
            let start = self.at;
            let siblings = match open.last_mut() {
                Some(block) => &mut block.statements,
                None => &mut done,
            };
            match c {
                '}' => {
                    self.at += 1;
                    match open.pop() {
                        Some(block) => close(block, &mut open, &mut done),
                        None => self.stray_brace(start),
                    }
                }
                '{' => {
                    let lacks_block = |before: &mut Statement| {
                        before.block.is_none() && TAKE_BLOCKS.contains(&before.key.text.as_str())
                    };
                    let header = if let Some(header) = siblings.pop_if(lacks_block) {
                        self.brace_on_next_line(start, &header);
                        header
                    } else {
                        self.nameless_block(start);
                        Statement { key: self.word(start..start), value: None, block: None }
                    };
                    self.open(&mut open, header);
                }
                '\0' => {
                    self.remarks.error(
                        error(&(start..start + 1), "ndppd reads only as far as this NUL character")
                            .label("remove it"),
                    );
                    break;
                }
                c if is_key(c) => {
                    let statement = self.statement();
                    self.skip(false);
                    if self.peek() == Some('{') {
                        self.open(&mut open, statement);
                    } else {
                        siblings.push(statement);
                    }
                }
                c if c.is_ascii_graphic() => self.stray_word(),
                _ => self.endless_loop(),
            }
            if self.lost {
                break;
            }
        }
        if !self.lost {
            for block in &open {
                self.unclosed(block);
            }
        }
        while let Some(block) = open.pop() {
            close(block, &mut open, &mut done);
        }
        done
    }

    /// `key [=] [value]`.
    fn statement(&mut self) -> Statement {
        let start = self.at;
        self.take(is_key);
        let key = self.word(start..self.at);
        self.skip(false);
        if self.peek() == Some('=') {
            self.at += 1;
            self.skip(false);
        }
        let value = if let Some(quote @ ('"' | '\'')) = self.peek() {
            Some(self.quoted(quote))
        } else {
            let start = self.at;
            self.take(|c| c.is_ascii_graphic() && !matches!(c, '{' | '}'));
            (self.at > start).then(|| self.word(start..self.at))
        };
        Statement { key, value, block: None }
    }

    /// A value in quotation marks; ndppd does not skip the second one.
    fn quoted(&mut self, quote: char) -> Word {
        self.at += 1;
        let start = self.at;
        self.take(|c| c != quote && c != '\n');
        let word = self.word(start..self.at);
        if self.peek() != Some(quote) {
            self.warn(
                warning(&(start - 1..self.at), "this quotation does not end")
                    .label("ndppd ends it with the line"),
            );
            return word;
        }
        let mark = self.at;
        self.at += 1;
        let line = self.text.get(self.at..).unwrap_or_default().lines().next().unwrap_or_default();
        let rest = line.trim();
        if !rest.is_empty() && !rest.starts_with('#') && !rest.starts_with("//") {
            let from = self.at + (line.len() - line.trim_start().len());
            self.warn(
                warning(
                    &(from..from + rest.len()),
                    "ndppd 0.2 takes the rest of this line for another quotation, and loses it",
                )
                .label("lost by ndppd; imported as it stands")
                .also(mark..mark + 1, "the quotation ends here")
                .help("leave the quotation marks out"),
            );
        }
        word
    }

    /// Skips blanks and comments, over the ends of lines or not.
    fn skip(&mut self, lines: bool) {
        loop {
            self.take(|c| is_space(c) && (lines || c != '\n'));
            let rest = self.text.get(self.at..).unwrap_or_default();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.take(|c| c != '\n' && c != '\0');
            } else if rest.starts_with("/*") {
                // The original looks for the end from the first character on, so that `/*/` is
                // a whole comment.
                let end = rest.get(1..).and_then(|rest| rest.find("*/"));
                let Some(end) = end else {
                    let span = self.at..self.at + 2;
                    self.at = self.text.len();
                    self.warn(
                        warning(&span, "this comment does not end")
                            .label("all that follows belongs to it"),
                    );
                    return;
                };
                self.at += end + 3;
            } else {
                return;
            }
        }
    }

    fn open(&mut self, open: &mut Vec<Open>, header: Statement) {
        let brace = self.at;
        self.at += 1;
        if open.len() >= DEEPEST {
            self.remarks.error(
                error(&(brace..brace + 1), "blocks are nested too deeply")
                    .label("proxies hold rules, and rules hold no blocks"),
            );
            self.lost = true;
            return;
        }
        open.push(Open { header, brace, statements: Vec::new() });
    }

    fn byte_order_mark(&mut self) {
        if !self.text.starts_with('\u{feff}') {
            return;
        }
        self.at = '\u{feff}'.len_utf8();
        self.warn(
            warning(&(0..self.at), "the file begins with a byte order mark")
                .label("ndppd 0.2 loops at it until there is no memory left; not imported"),
        );
    }

    /// Something that ndppd's reader never gets past.
    fn endless_loop(&mut self) {
        let start = self.at;
        self.take(|c| !c.is_ascii_graphic() && !is_space(c) && c != '\0');
        self.remarks.error(
            error(&(start..self.at), "ndppd 0.2 loops at this until there is no memory left")
                .label("neither ASCII nor part of a comment"),
        );
    }

    fn stray_brace(&mut self, at: usize) {
        self.warn(
            warning(&(at..at + 1), "there is no block to close here")
                .label("ndppd 0.2 silently reads no further; what follows is imported"),
        );
    }

    fn stray_word(&mut self) {
        let start = self.at;
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.at += 1;
            self.take(|c| c != quote && c != '\n');
            if self.peek() == Some(quote) {
                self.at += 1;
            }
        } else {
            self.take(|c| c.is_ascii_graphic() && !matches!(c, '{' | '}'));
        }
        // As after the end of a block in other programs' files: nothing is lost with it.
        if self.text.get(start..self.at).is_some_and(|word| word.bytes().all(|c| c == b';')) {
            return;
        }
        self.warn(
            warning(&(start..self.at), "a key is expected here")
                .label("ndppd 0.2 silently ignores this"),
        );
    }

    fn brace_on_next_line(&mut self, at: usize, header: &Statement) {
        self.warn(
            warning(&(at..at + 1), "ndppd 0.2 wants the '{' on the line of what it belongs to")
                .label("ndppd takes this for a block without a name, and ignores all of it")
                .also(header.span(), "imported as the block of this"),
        );
    }

    fn nameless_block(&mut self, at: usize) {
        self.warn(
            warning(&(at..at + 1), "this block belongs to nothing")
                .label("ndppd 0.2 silently ignores all of it"),
        );
    }

    fn unclosed(&mut self, block: &Open) {
        let span = block.header.span();
        let what = match block.header.key.text.as_str() {
            "" => "this block",
            "rule" => "this rule",
            _ => "this section",
        };
        self.remarks.error(
            error(
                &(block.brace..block.brace + 1),
                format!("{what} does not end: ndppd does not start"),
            )
            .label("a '}' is missing for this '{'")
            .also(span, "it begins here"),
        );
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn take(&mut self, is: impl Fn(char) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.find(|c| !is(c)).unwrap_or(rest.len());
    }

    fn word(&self, span: Range<usize>) -> Word {
        Word { text: self.text.get(span.clone()).unwrap_or_default().to_owned(), span }
    }
}

/// Gives a block to what it belongs to, and that to the block around it.
fn close(block: Open, open: &mut [Open], done: &mut Vec<Statement>) {
    let mut header = block.header;
    header.block = Some(block.statements);
    match open.last_mut() {
        Some(outer) => outer.statements.push(header),
        None => done.push(header),
    }
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// What C's `isspace` takes for a blank.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// Keys that have blocks.
const TAKE_BLOCKS: [&str; 2] = ["proxy", "rule"];

/// Blocks within blocks that are followed; two make sense.
const DEEPEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    /// The tree on one line, and the messages.
    fn read(text: &str) -> (String, Vec<String>) {
        let mut remarks = Remarks::new(Source::new("ndppd.conf", text));
        let statements = parse(text, &mut remarks, &mut Vec::new());
        (show(&statements), remarks.messages())
    }

    fn show(statements: &[Statement]) -> String {
        let shown: Vec<String> = statements
            .iter()
            .map(|statement| {
                let mut text = statement.key.text.clone();
                if let Some(value) = &statement.value {
                    text = format!("{text}={}", value.text);
                }
                if let Some(block) = &statement.block {
                    text = format!("{text}{{{}}}", show(block));
                }
                text
            })
            .collect();
        shown.join(" ")
    }

    #[test]
    fn what_ndppd_reads_as_it_stands_is_read_alike_and_without_remarks() {
        for (text, expected) in [
            ("", ""),
            ("route-ttl 30000\n", "route-ttl=30000"),
            ("route-ttl = 30000", "route-ttl=30000"),
            ("proxy eth0 { rule ::1 { static } }", "proxy=eth0{rule=::1{static}}"),
            ("proxy=eth0{rule::1{static}}", "proxy=eth0{rule=::1{static}}"),
            ("proxy eth0 /* a\nb */ {\n}", "proxy=eth0{}"),
            ("router no ttl 1000", "router=no ttl=1000"),
            ("static router yes", "static=router yes"),
            ("router yes;", "router=yes;"),
            ("static;\n", "static=;"),
            ("proxy eth0 {\n};\n", "proxy=eth0{}"),
            ("iface \"eth1\" # comment\nauto", "iface=eth1 auto"),
            ("# {\n// }\n/* { */ a b # c\n", "a=b"),
            ("ttl 3#0", "ttl=3#0"),
            ("/*/ a b", "a=b"),
        ] {
            assert_eq!(read(text), (expected.to_owned(), Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn traps_are_read_as_they_are_meant_and_pointed_out() {
        for (text, expected, message) in [
            ("\u{feff}auto", "auto", "byte order mark"),
            ("proxy \"eth0\" {\n}", "proxy=eth0{}", "takes the rest of this line"),
            ("proxy eth0\n{\n auto\n}", "proxy=eth0{auto}", "wants the '{' on the line"),
            ("proxy eth0 # here\n{\n}", "proxy=eth0{}", "wants the '{' on the line"),
            ("a b\n}\nc d", "a=b c=d", "no block to close"),
            ("iface \"eth1\nauto", "iface=eth1 auto", "quotation does not end"),
            ("auto /* x", "auto", "comment does not end"),
            ("@eth0 auto", "auto", "a key is expected"),
            ("auto\n};// end", "auto end", "a key is expected"),
            ("{ auto }", "{auto}", "belongs to nothing"),
            ("proxy a {\n rule b {\n", "proxy=a{rule=b{}}", "does not end: ndppd does not start"),
            ("caf\u{e9} auto", "caf auto", "loops at this"),
            ("\u{7f}auto", "auto", "loops at this"),
            ("a b\0c d", "a=b", "NUL"),
            (&"{".repeat(10_000), "{{{{{{{{}}}}}}}}", "nested too deeply"),
        ] {
            let (tree, messages) = read(text);
            assert_eq!(tree, expected, "{text:?}");
            assert!(messages.iter().any(|it| it.contains(message)), "{text:?}: {messages:?}");
        }
    }
}

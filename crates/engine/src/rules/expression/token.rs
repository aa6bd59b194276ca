//! Splits a line into numbers, names and operators.

use std::ops::Range;

use super::ExpressionErrorKind;
use super::program::Binary;

/// The smallest part of a line that means something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token<'a> {
    /// The line is over.
    End,
    /// A statement is over.
    Semicolon,
    Number(u64),
    Name(&'a str),
    Open,
    Close,
    Comma,
    Assign,
    Plus,
    Minus,
    /// `~`
    Complement,
    /// `!`
    Not,
    /// Any operator between two values but plus and minus.
    Operator(Binary),
}

/// The rest of a line.
pub(super) struct Tokens<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    /// Takes the next token; returns it, or what is wrong with it, and where it is.
    pub(super) fn next(&mut self) -> (Result<Token<'a>, ExpressionErrorKind>, Range<usize>) {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() && c != '\n');
        let start = self.line.len() - rest.len();
        let (token, length) = first(rest);
        self.at = start + length;
        (token, start..self.at)
    }
}

/// Returns the token that `text` begins with, and its length.
fn first(text: &str) -> (Result<Token<'_>, ExpressionErrorKind>, usize) {
    let Some(character) = text.chars().next() else { return (Ok(Token::End), 0) };
    if character.is_ascii_digit() {
        let word = word(text);
        return (number(word).map(Token::Number), word.len());
    }
    if is_of_name(character) {
        let word = word(text);
        return (Ok(Token::Name(word)), word.len());
    }
    match SYMBOLS.iter().find(|(symbol, _)| text.starts_with(symbol)) {
        Some((symbol, token)) => (Ok(*token), symbol.len()),
        None => (Err(ExpressionErrorKind::Character(character)), character.len_utf8()),
    }
}

/// Returns the letters and digits that `text` begins with.
fn word(text: &str) -> &str {
    text.find(|c| !is_of_name(c)).and_then(|end| text.get(..end)).unwrap_or(text)
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '$' | '.')
}

fn number(word: &str) -> Result<u64, ExpressionErrorKind> {
    let hexadecimal = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if word.starts_with('0') => (word, 8),
        None => (word, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(ExpressionErrorKind::Number);
    }
    u64::from_str_radix(digits, radix).map_err(|_| ExpressionErrorKind::NumberTooLarge)
}

/// Symbols; of two that begin alike, the longer one comes first.
const SYMBOLS: [(&str, Token<'_>); 26] = [
    ("&&", Token::Operator(Binary::BothTrue)),
    ("||", Token::Operator(Binary::AnyTrue)),
    ("==", Token::Operator(Binary::Equal)),
    ("!=", Token::Operator(Binary::NotEqual)),
    ("<=", Token::Operator(Binary::LessOrEqual)),
    (">=", Token::Operator(Binary::GreaterOrEqual)),
    ("<<", Token::Operator(Binary::ShiftLeft)),
    (">>", Token::Operator(Binary::ShiftRight)),
    ("<", Token::Operator(Binary::Less)),
    (">", Token::Operator(Binary::Greater)),
    ("*", Token::Operator(Binary::Multiply)),
    ("/", Token::Operator(Binary::Divide)),
    ("%", Token::Operator(Binary::Remainder)),
    ("&", Token::Operator(Binary::And)),
    ("|", Token::Operator(Binary::Or)),
    ("^", Token::Operator(Binary::ExclusiveOr)),
    ("+", Token::Plus),
    ("-", Token::Minus),
    ("~", Token::Complement),
    ("!", Token::Not),
    ("=", Token::Assign),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
    (";", Token::Semicolon),
    ("\n", Token::Semicolon),
];

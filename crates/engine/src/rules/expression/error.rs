//! What is wrong with an expression, and where.

use std::ops::Range;

/// What is not an expression, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {}, byte {}: {kind}", line + 1, span.start + 1)]
pub struct ExpressionError {
    /// Position of the line in the list, from 0.
    pub line: usize,
    /// Which bytes of the line; none, at its end, if something is missing there.
    pub span: Range<usize>,
    /// What is wrong.
    pub kind: ExpressionErrorKind,
}

/// What is wrong with an expression.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpressionErrorKind {
    /// The line has no statement.
    #[error("there is no expression")]
    Empty,
    /// No name, number or operator begins so.
    #[error("an expression cannot have the character {0:?}")]
    Character(char),
    /// It begins as a number does, but is none.
    #[error("this is not a decimal, hexadecimal (0x1f) or octal (017) number")]
    Number,
    /// The number is too large.
    #[error("this number does not fit into 64 bits")]
    NumberTooLarge,
    /// A number, name, function or parenthesis has to follow.
    #[error("a number, a name or `(` is expected")]
    NoValue,
    /// An operator, a semicolon or the end has to follow.
    #[error("an operator, `;` or the end is expected")]
    NoOperator,
    /// This character has to follow.
    #[error("`{0}` is expected")]
    Missing(char),
    /// Parentheses or operators inside each other, more than can be calculated.
    #[error("parentheses and operators are nested too deeply")]
    TooDeep,
    /// One name more than 32, `HOST` and `PREFIX` included.
    #[error("values are stored under more than 32 names, `HOST` and `PREFIX` included")]
    TooManyNames,
}

/// What is an expression, but probably not the one that is meant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {}, byte {}: {kind}", line + 1, span.start + 1)]
pub struct ExpressionWarning {
    /// Position of the line in the list, from 0.
    pub line: usize,
    /// Which bytes of the line.
    pub span: Range<usize>,
    /// What is doubtful.
    pub kind: ExpressionWarningKind,
}

/// What is doubtful about an expression.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ExpressionWarningKind {
    /// Nothing is stored under the name at this point.
    #[error("nothing is stored under this name before, so it is 0")]
    NeverStored,
    /// The result of the line is what it stores.
    #[error("`=` stores a value, `==` compares")]
    StoredResult,
    /// The operator takes the truth of what stands to its left or right, 0 or 1, for a number:
    /// all operators but plus and minus bind equally strongly.
    #[error(
        "this calculates with 0 or 1, what a comparison beside it came to: operators bind equally \
         strongly, from left to right, and `+` and `-` last; parentheses tell what is meant"
    )]
    ComparisonAsValue,
}

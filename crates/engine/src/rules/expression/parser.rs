//! Compiles a line, by recursive descent along npd6's grammar.
//!
//! ```text
//! line       = { statement ";" } statement
//! statement  = [ expression ]
//! expression = term { ("+" | "-") term }
//! term       = primary { operator primary }
//! primary    = number | name | name "=" expression | "(" expression ")"
//!            | ("-" | "+" | "~" | "!") primary
//!            | "abs" "(" expression ")" | "mask" "(" expression "," expression ")"
//! ```

use std::ops::Range;

use super::program::{Binary, Op, REGISTERS, Register, STACK, Unary};
use super::token::{Token, Tokens};
use super::{ExpressionError, ExpressionErrorKind, ExpressionWarning, ExpressionWarningKind};

/// What stands inside of something else inside of something else may do so this often: enough for
/// all that fits into a line of npd6, 127 characters.
const MAX_NESTING: usize = 128;

/// The names that something is stored under, by register.
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn new() -> Self {
        let mut names = vec![String::new(); 2];
        for (Register(number), name) in [(Register::HOST, "HOST"), (Register::PREFIX, "PREFIX")] {
            names[number].push_str(name);
        }
        Self(names)
    }

    fn find(&self, name: &str) -> Option<Register> {
        self.0.iter().position(|known| known == name).map(Register)
    }

    fn find_or_add(&mut self, name: &str) -> Result<Register, ExpressionErrorKind> {
        if let Some(register) = self.find(name) {
            return Ok(register);
        }
        if self.0.len() == REGISTERS {
            return Err(ExpressionErrorKind::TooManyNames);
        }
        self.0.push(name.to_owned());
        Ok(Register(self.0.len() - 1))
    }
}

/// Compiles line `number` of a list.
pub(super) fn parse(
    number: usize,
    line: &str,
    names: &mut Names,
) -> Result<(Vec<Op>, Vec<ExpressionWarning>), ExpressionError> {
    let mut parser = Parser {
        line: number,
        tokens: Tokens::new(line),
        token: Token::End,
        span: 0..0,
        before: 0,
        names,
        ops: Vec::new(),
        height: 0,
        nesting: 0,
        warnings: Vec::new(),
    };
    parser.advance()?;
    parser.line()?;
    Ok((parser.ops, parser.warnings))
}

struct Parser<'a, 'n> {
    line: usize,
    tokens: Tokens<'a>,
    /// The token that is looked at.
    token: Token<'a>,
    /// Where it is.
    span: Range<usize>,
    /// Where the token before it ends.
    before: usize,
    names: &'n mut Names,
    ops: Vec<Op>,
    /// How many values are on the stack.
    height: usize,
    nesting: usize,
    warnings: Vec<ExpressionWarning>,
}

type Parsed<T = ()> = Result<T, ExpressionError>;

impl<'a> Parser<'a, '_> {
    fn line(&mut self) -> Parsed {
        let mut last = 0..0;
        loop {
            match self.token {
                Token::End => break,
                Token::Semicolon => self.advance()?,
                _ => {
                    if !self.ops.is_empty() {
                        self.emit(Op::Drop)?;
                    }
                    let start = self.span.start;
                    self.expression()?;
                    last = start..self.before;
                    if !matches!(self.token, Token::End | Token::Semicolon) {
                        return Err(self.error(ExpressionErrorKind::NoOperator));
                    }
                }
            }
        }
        match self.ops.last() {
            None => {
                let span = 0..self.span.end;
                Err(ExpressionError { span, ..self.error(ExpressionErrorKind::Empty) })
            }
            Some(Op::Store(_)) => {
                self.warn(ExpressionWarningKind::StoredResult, last);
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    fn expression(&mut self) -> Parsed {
        let mut truth = self.term()?;
        loop {
            let operator = match self.token {
                Token::Plus => Binary::Add,
                Token::Minus => Binary::Subtract,
                _ => return Ok(()),
            };
            let span = self.span.clone();
            self.advance()?;
            truth |= self.term()?;
            if truth {
                self.warn(ExpressionWarningKind::ComparisonAsValue, span);
            }
            self.emit(Op::Binary(operator))?;
        }
    }

    /// Tells whether it comes to what a comparison in it, without parentheses, comes to.
    fn term(&mut self) -> Parsed<bool> {
        let mut truth = false;
        self.primary()?;
        while let Token::Operator(operator) = self.token {
            if truth && !matches!(operator, Binary::BothTrue | Binary::AnyTrue) {
                self.warn(ExpressionWarningKind::ComparisonAsValue, self.span.clone());
            }
            self.advance()?;
            self.primary()?;
            self.emit(Op::Binary(operator))?;
            truth = operator.compares();
        }
        Ok(truth)
    }

    fn primary(&mut self) -> Parsed {
        if self.nesting == MAX_NESTING {
            return Err(self.error(ExpressionErrorKind::TooDeep));
        }
        self.nesting += 1;
        match self.token {
            Token::Number(number) => {
                self.emit(Op::Push(number))?;
                self.advance()?;
            }
            Token::Name(name) => self.name(name)?,
            Token::Open => {
                self.advance()?;
                self.expression()?;
                self.expect(Token::Close, ')')?;
            }
            Token::Plus => {
                self.advance()?;
                self.primary()?;
            }
            Token::Minus => self.unary(Unary::Negate)?,
            Token::Complement => self.unary(Unary::Complement)?,
            Token::Not => self.unary(Unary::Not)?,
            Token::End
            | Token::Semicolon
            | Token::Close
            | Token::Comma
            | Token::Assign
            | Token::Operator(_) => return Err(self.error(ExpressionErrorKind::NoValue)),
        }
        self.nesting -= 1;
        Ok(())
    }

    fn unary(&mut self, operator: Unary) -> Parsed {
        self.advance()?;
        self.primary()?;
        self.emit(Op::Unary(operator))
    }

    fn name(&mut self, name: &'a str) -> Parsed {
        let span = self.span.clone();
        self.advance()?;
        if name.eq_ignore_ascii_case("abs") {
            self.expect(Token::Open, '(')?;
            self.expression()?;
            self.expect(Token::Close, ')')?;
            return self.emit(Op::Unary(Unary::Absolute));
        }
        if name.eq_ignore_ascii_case("mask") {
            self.expect(Token::Open, '(')?;
            self.expression()?;
            self.expect(Token::Comma, ',')?;
            self.expression()?;
            self.expect(Token::Close, ')')?;
            return self.emit(Op::Binary(Binary::Mask));
        }
        if self.token == Token::Assign {
            self.advance()?;
            self.expression()?;
            let register = self.names.find_or_add(name);
            let register = register
                .map_err(|kind| ExpressionError { span: span.clone(), ..self.error(kind) })?;
            return self.emit(Op::Store(register));
        }
        if let Some(register) = self.names.find(name) {
            return self.emit(Op::Load(register));
        }
        self.warn(ExpressionWarningKind::NeverStored, span);
        self.emit(Op::Push(0))
    }

    fn expect(&mut self, token: Token<'_>, character: char) -> Parsed {
        if self.token != token {
            return Err(self.error(ExpressionErrorKind::Missing(character)));
        }
        self.advance()
    }

    fn advance(&mut self) -> Parsed {
        let (token, span) = self.tokens.next();
        self.before = std::mem::replace(&mut self.span, span).end;
        self.token = token.map_err(|kind| self.error(kind))?;
        Ok(())
    }

    fn emit(&mut self, op: Op) -> Parsed {
        match op {
            Op::Push(_) | Op::Load(_) if self.height == STACK => {
                return Err(self.error(ExpressionErrorKind::TooDeep));
            }
            Op::Push(_) | Op::Load(_) => self.height += 1,
            Op::Store(_) | Op::Unary(_) => {}
            Op::Binary(_) | Op::Drop => self.height -= 1,
        }
        self.ops.push(op);
        Ok(())
    }

    fn error(&self, kind: ExpressionErrorKind) -> ExpressionError {
        ExpressionError { line: self.line, span: self.span.clone(), kind }
    }

    fn warn(&mut self, kind: ExpressionWarningKind, span: Range<usize>) {
        self.warnings.push(ExpressionWarning { line: self.line, span, kind });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expressions;
    use super::ExpressionErrorKind as Error;
    use super::ExpressionWarningKind as Warning;

    #[test]
    fn errors_show_where_they_are() {
        let cases = [
            ("", 0..0, Error::Empty),
            (" ; ", 0..3, Error::Empty),
            ("HOST ? 1", 5..6, Error::Character('?')),
            ("HOST_A", 4..5, Error::Character('_')),
            ("1 + ä", 4..6, Error::Character('ä')),
            ("HOST == 08", 8..10, Error::Number),
            ("0x", 0..2, Error::Number),
            ("12ab", 0..4, Error::Number),
            ("1.5", 0..3, Error::Number),
            ("18446744073709551616", 0..20, Error::NumberTooLarge),
            ("0x1ffffffffffffffff", 0..19, Error::NumberTooLarge),
            ("HOST ==", 7..7, Error::NoValue),
            ("HOST == ;1", 8..9, Error::NoValue),
            ("()", 1..2, Error::NoValue),
            ("*3", 0..1, Error::NoValue),
            ("= 3", 0..1, Error::NoValue),
            ("a = = 3", 4..5, Error::NoValue),
            ("HOST HOST", 5..9, Error::NoOperator),
            ("(HOST) = 3", 7..8, Error::NoOperator),
            ("1, 2", 1..2, Error::NoOperator),
            ("1)", 1..2, Error::NoOperator),
            ("(HOST == 1", 10..10, Error::Missing(')')),
            ("(HOST; 1)", 5..6, Error::Missing(')')),
            ("abs 3", 4..5, Error::Missing('(')),
            ("abs = 3", 4..5, Error::Missing('(')),
            ("mask(3)", 6..7, Error::Missing(',')),
            ("mask(3, 4, 5)", 9..10, Error::Missing(')')),
        ];
        for (line, span, kind) in cases {
            let error = Expressions::parse(["1", line]).unwrap_err();
            assert_eq!((error.line, error.span, error.kind), (1, span, kind), "{line}");
        }
    }

    #[test]
    fn doubts_show_where_they_are() {
        let cases = [
            ("HOST == 1", None),
            ("HOST & 0xff == 1", None),
            ("(HOST == 1) || (HOST == 2)", None),
            ("(HOST == 1) && PREFIX", None),
            ("HOST == 1 && PREFIX", None),
            ("A = 3; A == HOST", None),
            ("Host == 1", Some((0..4, Warning::NeverStored))),
            ("A == 1; A = 2; A", Some((0..1, Warning::NeverStored))),
            ("0; HOST = 0x77 ;", Some((3..14, Warning::StoredResult))),
            ("HOST == 1 || HOST == 2", Some((18..20, Warning::ComparisonAsValue))),
            ("1 < HOST < 3", Some((9..10, Warning::ComparisonAsValue))),
            ("HOST + 1 == 3", Some((5..6, Warning::ComparisonAsValue))),
            ("HOST == 3 - 1", Some((10..11, Warning::ComparisonAsValue))),
        ];
        for (line, expected) in cases {
            let expressions = Expressions::parse([line]).unwrap();
            let warnings = expressions.warnings().iter();
            let found: Vec<_> = warnings.map(|found| (found.span.clone(), found.kind)).collect();
            assert_eq!(found, Vec::from_iter(expected), "{line}");
        }
    }

    #[test]
    fn names_may_be_32() {
        let stores = |count| (0..count).map(|number| format!("A{number}=1")).collect::<Vec<_>>();
        assert!(Expressions::parse([stores(30).join(";")]).is_ok());
        assert!(Expressions::parse(stores(30)).is_ok());
        let error = Expressions::parse(stores(31)).unwrap_err();
        assert_eq!((error.line, error.span, error.kind), (30, 0..3, Error::TooManyNames));
    }

    #[test]
    fn whatever_fits_into_a_line_of_npd6_can_be_calculated() {
        let nested =
            |open: &str, close: &str, times| open.repeat(times) + "1" + &close.repeat(times);
        for line in [
            nested("~", "", 126),
            nested("(", ")", 63),
            nested("1*(", ")", 31),
            nested("1+1*(", ")", 21),
            nested("A=", "", 63),
            nested("mask(1,", ")", 15),
        ] {
            assert!(line.len() <= 127 && Expressions::parse([&line]).is_ok(), "{line}");
        }
        for line in [nested("~", "", 200), nested("(", ")", 100_000), nested("1*(", ")", 64)] {
            let error = Expressions::parse([line]).unwrap_err();
            assert_eq!(error.kind, Error::TooDeep);
        }
    }
}

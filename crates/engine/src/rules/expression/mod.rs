//! npd6's expressions: short calculations that tell whether an address is on a list.

mod error;
mod parser;
mod program;
mod token;

use std::net::Ipv6Addr;

pub use error::{ExpressionError, ExpressionErrorKind, ExpressionWarning, ExpressionWarningKind};
use parser::Names;
use program::{Op, Registers};

/// The expressions of one list, one for each line. An address is on the list if one of them comes
/// to anything but 0.
///
/// They calculate with unsigned 64-bit numbers, wrapping around. `PREFIX` and `HOST` are the upper
/// and the lower half of the address.
///
/// - A line has statements between `;`. The last one is its result.
/// - `NAME = ...` stores a value for what follows in this line and those after it. Names consist
///   of letters, digits, `$` and `.`, do not begin with a digit, and are case-sensitive. There
///   may be 32, the two above included. A name that nothing was stored in is 0.
/// - Numbers are written as in C: decimal, hexadecimal `0x1f`, octal `017`.
/// - Before a value: `-`, `+`, `~`, `!`.
/// - Between values: `*` `/` `%` `&` `|` `^` `<<` `>>` `<` `>` `<=` `>=` `==` `!=` `&&` `||` all
///   bind equally strongly, from left to right; `+` and `-` bind more weakly. So
///   `HOST==0x77||HOST==0x78` is `((HOST==0x77)||HOST)==0x78`, which never holds: parentheses are
///   needed. `&&` and `||` always calculate both sides.
/// - A shift by 64 or more gives 0.
/// - `abs(x)` is `x`, or `-x` if the highest bit of `x` is set. `mask(high, low)` has the bits
///   from `high` down to `low` set, in either order; positions count as signed and are brought
///   into 0 to 63.
///
/// Division by 0, also by `%`, has no result: then it cannot be told whether the address is on
/// the list, and the same goes for all that is calculated with a value stored so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expressions {
    lines: Vec<Vec<Op>>,
    warnings: Vec<ExpressionWarning>,
}

impl Expressions {
    /// Compiles the expressions of one list, in their order.
    ///
    /// # Errors
    ///
    /// The first thing that is not an expression.
    pub fn parse<S: AsRef<str>>(
        lines: impl IntoIterator<Item = S>,
    ) -> Result<Self, ExpressionError> {
        let mut names = Names::new();
        let mut expressions = Self::default();
        for (number, line) in lines.into_iter().enumerate() {
            let (ops, warnings) = parser::parse(number, line.as_ref(), &mut names)?;
            expressions.lines.push(ops);
            expressions.warnings.extend(warnings);
        }
        Ok(expressions)
    }

    /// Returns what is probably not meant so.
    pub fn warnings(&self) -> &[ExpressionWarning] {
        &self.warnings
    }

    /// Whether one of the expressions holds of `target`; nothing if that cannot be told.
    pub fn holds(&self, target: Ipv6Addr) -> Option<bool> {
        let mut registers = Registers::new(target);
        let mut certain = true;
        for ops in &self.lines {
            match program::run(ops, &mut registers) {
                Some(0) => {}
                Some(_) => return Some(true),
                None => certain = false,
            }
        }
        certain.then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: u64) -> Ipv6Addr {
        Ipv6Addr::from_bits(0x2001_0db8_0001_0002 << 64 | u128::from(value))
    }

    /// What a line comes to, if anything.
    fn result(line: &str, target: Ipv6Addr) -> Option<u64> {
        let expressions = Expressions::parse([line]).unwrap();
        program::run(&expressions.lines[0], &mut Registers::new(target))
    }

    #[test]
    fn lines_come_to_what_npd6_makes_of_them() {
        let max = u64::MAX;
        let cases = [
            // Numbers, names and signs.
            ("17", Some(17)),
            ("0x1F", Some(31)),
            ("017", Some(15)),
            ("0", Some(0)),
            ("18446744073709551615", Some(max)),
            ("HOST", Some(0x77)),
            ("PREFIX", Some(0x2001_0db8_0001_0002)),
            ("host", Some(0)),
            ("-1", Some(max)),
            ("+1", Some(1)),
            ("~0", Some(max)),
            ("!0", Some(1)),
            ("!7", Some(0)),
            ("-~!0", Some(2)),
            // One precedence, but for plus and minus.
            ("2*3&4", Some(4)),
            ("1+2*3", Some(7)),
            ("2*3+1", Some(7)),
            ("10-3-2", Some(5)),
            ("1|2==3", Some(1)),
            ("7&6==6", Some(1)),
            ("1+1==2", Some(1)),
            ("2==1+1", Some(1)),
            ("8/2*4", Some(16)),
            ("HOST==0x77||HOST==0x78", Some(0)),
            ("(HOST==0x77)||(HOST==0x78)", Some(1)),
            ("7%4^1", Some(2)),
            ("5>3", Some(1)),
            ("5>=5", Some(1)),
            ("5<=4", Some(0)),
            ("5<-1", Some(1)),
            ("5!=5", Some(0)),
            ("2&&4", Some(1)),
            ("0||0", Some(0)),
            // Wrapping, shifts.
            ("0-1", Some(max)),
            ("-1*2", Some(max - 1)),
            ("-1+1", Some(0)),
            ("1<<63", Some(1 << 63)),
            ("1<<64", Some(0)),
            ("-1>>63", Some(1)),
            ("-1>>64", Some(0)),
            ("1<<-1", Some(0)),
            // Functions.
            ("abs(5)", Some(5)),
            ("ABS(-5)", Some(5)),
            ("abs(1<<63)", Some(1 << 63)),
            ("mask(15,8)", Some(0xff00)),
            ("Mask(8,15)", Some(0xff00)),
            ("mask(0,0)", Some(1)),
            ("mask(63,0)", Some(max)),
            ("mask(100,60)", Some(0xf << 60)),
            ("mask(3,-1)", Some(0xf)),
            ("mask(70,65)", Some(1 << 63)),
            ("HOST&mask(3,0)", Some(7)),
            // Statements and variables.
            ("1;2", Some(2)),
            ("1;", Some(1)),
            (";;1;;", Some(1)),
            ("1\n2", Some(2)),
            ("A=3;A*A", Some(9)),
            ("A=B=3;A+B", Some(6)),
            ("2*A=2+3", Some(10)),
            ("(A=5)+A", Some(10)),
            ("A+(A=5)", Some(5)),
            ("HOST=1;HOST", Some(1)),
            ("$a.1=4;$a.1", Some(4)),
            (" ( HOST ) ; SEAN = 1 ", Some(1)),
            // Without a result.
            ("1/0", None),
            ("1%0", None),
            ("1/(HOST-0x77)", None),
            ("0&&(1/0)", None),
            ("1/0;1", None),
            ("A=1/0;1", None),
        ];
        for (line, expected) in cases {
            assert_eq!(result(line, host(0x77)), expected, "{line}");
        }
    }

    #[test]
    fn the_example_of_npd6s_manual_holds_where_npd6_says_so() {
        let line = "(HOST);SEAN=(HOST&0xffff);((SEAN>0x99)&&(SEAN<0x124))";
        let expressions = Expressions::parse([line]).unwrap();
        for low in 0..=0xffff {
            let expected = (0x9a..=0x123).contains(&low);
            for high in [0, 0xabcd << 16] {
                assert_eq!(expressions.holds(host(high | low)), Some(expected), "{low:#x}");
            }
        }
        assert_eq!(expressions.warnings(), []);
    }

    #[test]
    fn comparisons_side_by_side_hold_of_neither() {
        let expressions = Expressions::parse(["HOST==0x77||HOST==0x78"]).unwrap();
        for value in [0, 1, 0x77, 0x78] {
            assert_eq!(expressions.holds(host(value)), Some(false), "{value:#x}");
        }
        let kinds: Vec<_> = expressions.warnings().iter().map(|warning| &warning.kind).collect();
        assert_eq!(kinds, [&ExpressionWarningKind::ComparisonAsValue]);
    }

    #[test]
    fn lines_share_variables() {
        let lines = ["LOW=HOST&0xffff;0", "LOW==0x77", "HOST=1;0", "HOST==1&&(LOW==5)"];
        let expressions = Expressions::parse(lines).unwrap();
        assert_eq!(expressions.holds(host(0x1_0077)), Some(true));
        assert_eq!(expressions.holds(host(0x1_0005)), Some(true));
        assert_eq!(expressions.holds(host(0x1_0006)), Some(false));
        let expressions = Expressions::parse(["LOW==0x77", "LOW=HOST;0"]).unwrap();
        assert_eq!(expressions.holds(host(0x77)), Some(false), "not yet stored");
    }

    #[test]
    fn what_cannot_be_told_hides_nothing_else() {
        let lines = ["INVERSE=100/(HOST-5);0", "INVERSE>20", "HOST==6"];
        let expressions = Expressions::parse(lines).unwrap();
        for (value, expected) in [(5, None), (6, Some(true)), (7, Some(true)), (50, Some(false))] {
            assert_eq!(expressions.holds(host(value)), expected, "{value}");
        }
        let expressions = Expressions::parse(["1%(HOST-5)==1", "HOST==5"]).unwrap();
        assert_eq!(expressions.holds(host(5)), Some(true));
    }
}

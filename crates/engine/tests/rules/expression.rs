//! Random expressions come to what a straightforward reading of npd6's grammar makes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;

use magpie_engine::Expressions;
use proptest::collection::vec;
use proptest::prelude::*;

/// A value, as the grammar builds it.
#[derive(Clone, Debug)]
enum Primary {
    Number(u64, Radix),
    Name(&'static str),
    Assign(&'static str, Box<Sum>),
    Prefixed(char, Box<Primary>),
    Parentheses(Box<Sum>),
    Abs(Box<Sum>),
    Mask(Box<Sum>, Box<Sum>),
}

/// How a number is written.
#[derive(Clone, Copy, Debug)]
enum Radix {
    Decimal,
    Hexadecimal,
    Octal,
}

/// Values between operators that bind equally strongly.
#[derive(Clone, Debug)]
struct Term(Primary, Vec<(&'static str, Primary)>);

/// Terms between plus and minus.
#[derive(Clone, Debug)]
struct Sum(Term, Vec<(char, Term)>);

/// What names stand for; what is not in it is 0.
type Variables = BTreeMap<&'static str, Option<u64>>;

const NAMES: [&str; 5] = ["HOST", "PREFIX", "A", "b.2", "$"];
const OPERATORS: [&str; 16] =
    ["*", "/", "%", "&", "|", "^", "<<", ">>", "<", ">", "<=", ">=", "==", "!=", "&&", "||"];

impl Primary {
    fn value(&self, variables: &mut Variables) -> Option<u64> {
        match self {
            Self::Number(number, _) => Some(*number),
            Self::Name(name) => variables.get(name).copied().unwrap_or(Some(0)),
            Self::Assign(name, sum) => {
                let value = sum.value(variables);
                variables.insert(name, value);
                value
            }
            Self::Prefixed(sign, primary) => {
                let value = primary.value(variables)?;
                Some(match sign {
                    '-' => (!value).wrapping_add(1),
                    '~' => u64::MAX - value,
                    '!' => u64::from(value == 0),
                    _ => value,
                })
            }
            Self::Parentheses(sum) => sum.value(variables),
            Self::Abs(sum) => {
                let value = sum.value(variables)?;
                Some(if value >= 1 << 63 { (!value).wrapping_add(1) } else { value })
            }
            Self::Mask(one, another) => {
                let position = |value: u64| match value {
                    0..=63 => value,
                    64..0x8000_0000_0000_0000 => 63,
                    _ => 0,
                };
                let (one, another) = (one.value(variables), another.value(variables));
                let (one, another) = (position(one?), position(another?));
                let set = one.min(another)..=one.max(another);
                Some(set.map(|bit| 1 << bit).sum())
            }
        }
    }

    /// Whether what follows would become part of what it stores.
    fn is_open(&self) -> bool {
        match self {
            Self::Assign(..) => true,
            Self::Prefixed(_, primary) => primary.is_open(),
            Self::Number(..)
            | Self::Name(_)
            | Self::Parentheses(_)
            | Self::Abs(_)
            | Self::Mask(..) => false,
        }
    }
}

impl Term {
    fn value(&self, variables: &mut Variables) -> Option<u64> {
        let Self(first, rest) = self;
        let mut left = first.value(variables);
        for (operator, primary) in rest {
            let right = primary.value(variables);
            left = match (left, right) {
                (Some(left), Some(right)) => apply(left, operator, right),
                _ => None,
            };
        }
        left
    }
}

impl Sum {
    fn value(&self, variables: &mut Variables) -> Option<u64> {
        let Self(first, rest) = self;
        let mut sum = first.value(variables);
        for (sign, term) in rest {
            let term = term.value(variables);
            sum = sum.zip(term).map(|(sum, term)| match sign {
                '+' => sum.wrapping_add(term),
                _ => sum.wrapping_sub(term),
            });
        }
        sum
    }
}

impl fmt::Display for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, Radix::Decimal) => write!(f, "{number}"),
            Self::Number(number, Radix::Hexadecimal) => write!(f, "{number:#x}"),
            Self::Number(number, Radix::Octal) => write!(f, "0{number:o}"),
            Self::Name(name) => f.write_str(name),
            Self::Assign(name, sum) => write!(f, "{name} = {sum}"),
            Self::Prefixed(sign, primary) => write!(f, "{sign}{primary}"),
            Self::Parentheses(sum) => write!(f, "({sum})"),
            Self::Abs(sum) => write!(f, "abs({sum})"),
            Self::Mask(one, another) => write!(f, "mask ({one},{another})"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, rest) = self;
        write!(f, "{first}")?;
        rest.iter().try_for_each(|(operator, primary)| write!(f, " {operator} {primary}"))
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, rest) = self;
        write!(f, "{first}")?;
        rest.iter().try_for_each(|(sign, term)| write!(f, "{sign}{term}"))
    }
}

fn apply(left: u64, operator: &str, right: u64) -> Option<u64> {
    let truth = match operator {
        "<" => left < right,
        ">" => left > right,
        "<=" => left <= right,
        ">=" => left >= right,
        "==" => left == right,
        "!=" => left != right,
        "&&" => left > 0 && right > 0,
        "||" => left > 0 || right > 0,
        "/" | "%" if right == 0 => return None,
        "/" => return Some(left / right),
        "%" => return Some(left % right),
        "*" => return Some(left.wrapping_mul(right)),
        "&" => return Some(left & right),
        "|" => return Some(left | right),
        "^" => return Some(left ^ right),
        "<<" | ">>" if right > 63 => return Some(0),
        "<<" => return Some(left << right),
        _ => return Some(left >> right),
    };
    Some(u64::from(truth))
}

/// Stores only stand where nothing can follow that would become part of them.
fn closed(primary: Primary) -> Primary {
    if primary.is_open() {
        Primary::Parentheses(Box::new(Sum(Term(primary, Vec::new()), Vec::new())))
    } else {
        primary
    }
}

fn sum(primary: impl Strategy<Value = Primary> + Clone) -> impl Strategy<Value = Sum> {
    let primaries = vec((prop::sample::select(&OPERATORS), primary.clone()), 0..3);
    let term = (primary, primaries).prop_map(|(first, rest)| {
        let rest = rest.into_iter().map(|(operator, primary)| (operator, closed(primary)));
        Term(closed(first), rest.collect())
    });
    let terms = vec((prop::sample::select(&['+', '-']), term.clone()), 0..2);
    (term, terms).prop_map(|(first, rest)| Sum(first, rest))
}

fn primary() -> impl Strategy<Value = Primary> + Clone {
    let number = prop_oneof![0..5_u64, 0..100_u64, any::<u64>(), Just(u64::MAX)];
    let radix = prop::sample::select(&[Radix::Decimal, Radix::Hexadecimal, Radix::Octal]);
    let name = || prop::sample::select(&NAMES);
    let leaf = prop_oneof![
        (number, radix).prop_map(|(number, radix)| Primary::Number(number, radix)),
        name().prop_map(Primary::Name),
    ];
    leaf.prop_recursive(3, 16, 3, move |inner| {
        let boxed = || sum(inner.clone()).prop_map(Box::new);
        prop_oneof![
            (name(), boxed()).prop_map(|(name, sum)| Primary::Assign(name, sum)),
            (prop::sample::select(&['-', '+', '~', '!']), inner.clone())
                .prop_map(|(sign, primary)| Primary::Prefixed(sign, Box::new(primary))),
            boxed().prop_map(Primary::Parentheses),
            boxed().prop_map(Primary::Abs),
            (boxed(), boxed()).prop_map(|(one, another)| Primary::Mask(one, another)),
        ]
    })
}

fn written(statements: &[Sum]) -> String {
    statements.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; ")
}

/// Writes a line whose result is stored as `R`.
fn stored(line: &[Sum]) -> String {
    let (last, before) = line.split_last().expect("a line has statements");
    format!("{} ; R = {last}", written(before))
}

/// Returns what a line comes to, if each of its statements comes to something.
fn result(line: &[Sum], variables: &mut Variables) -> Option<u64> {
    let statements: Vec<_> = line.iter().map(|sum| sum.value(variables)).collect();
    let complete = statements.iter().all(Option::is_some);
    statements.last().copied().flatten().filter(|_| complete)
}

/// Whether any line surely holds; nothing if none does but that of one cannot be told.
fn oracle(lines: &[Vec<Sum>], mut variables: Variables) -> Option<bool> {
    let results: Vec<_> = lines.iter().map(|line| result(line, &mut variables)).collect();
    if results.iter().any(|result| result.is_some_and(|result| result != 0)) {
        return Some(true);
    }
    results.iter().all(Option::is_some).then_some(false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn results_are_those_of_a_reader(
        lines in vec(vec(sum(primary()), 1..4), 1..4),
        halves in vec((any::<u64>(), prop_oneof![0..10_u64, any::<u64>()]), 1..8),
    ) {
        let parse = |texts: &[String]| Expressions::parse(texts)
            .map_err(|error| TestCaseError::fail(format!("{error}: {texts:?}")));
        let texts: Vec<_> = lines.iter().map(|line| written(line)).collect();
        let expressions = parse(&texts)?;
        for (prefix, host) in halves {
            let target = Ipv6Addr::from_bits((u128::from(prefix) << 64) | u128::from(host));
            let variables = Variables::from([("PREFIX", Some(prefix)), ("HOST", Some(host))]);
            let expected = oracle(&lines, variables.clone());
            prop_assert_eq!(expressions.holds(target), expected, "{:?}", texts);
            // Each line alone comes to exactly this.
            for line in &lines {
                let expected = result(line, &mut variables.clone());
                let difference = format!("{} ; R ^ {}", stored(line), expected.unwrap_or(0));
                let holds = parse(std::slice::from_ref(&difference))?.holds(target);
                prop_assert_eq!(holds, expected.map(|_| false), "{}", difference);
            }
        }
    }

    #[test]
    fn whatever_is_written_down_is_an_expression_or_an_error_somewhere_in_it(
        line in prop_oneof![
            "[HOST0-9abx.$ =!<>&|*/%^~+(),;-]{0,40}",
            "((HOST|A|abs|mask|[0-9]{1,3}) ?(==|&&|=|;|,|\\(|\\)|[*/+-]) ?){0,20}",
            any::<String>(),
        ],
    ) {
        match Expressions::parse([&line]) {
            Ok(expressions) => {
                expressions.holds(Ipv6Addr::LOCALHOST);
                for warning in expressions.warnings() {
                    prop_assert!(line.get(warning.span.clone()).is_some_and(|text| !text.is_empty()));
                }
            }
            Err(error) => prop_assert!(line.get(error.span).is_some()),
        }
    }
}

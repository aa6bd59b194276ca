//! Calculates compiled expressions on registers and a small stack, without allocating.

use std::net::Ipv6Addr;

use crate::rules::identifier;

/// More values than this are never on the stack. Whatever fits into a line of npd6, 127
/// characters, needs fewer.
pub(super) const STACK: usize = 64;
/// How many names there may be.
pub(super) const REGISTERS: usize = 32;

/// One step of a calculation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Op {
    /// Puts a number on the stack.
    Push(u64),
    /// Puts what a register holds on the stack.
    Load(Register),
    /// Copies the top of the stack to a register.
    Store(Register),
    /// Replaces the top of the stack.
    Unary(Unary),
    /// Replaces the two values on top of the stack by one.
    Binary(Binary),
    /// Takes the result of a statement that is not the last from the stack.
    Drop,
}

/// Number of the register of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Register(pub(super) usize);

impl Register {
    /// The lower half of the address.
    pub(super) const HOST: Self = Self(0);
    /// The upper half of the address.
    pub(super) const PREFIX: Self = Self(1);
}

/// An operator before a value, or a function of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unary {
    Negate,
    Complement,
    Not,
    Absolute,
}

/// An operator between values, or a function of two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    ExclusiveOr,
    ShiftLeft,
    ShiftRight,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Equal,
    NotEqual,
    BothTrue,
    AnyTrue,
    Mask,
}

/// What the names stand for; nothing where that has no result.
pub(super) struct Registers([Option<u64>; REGISTERS]);

impl Registers {
    pub(super) fn new(target: Ipv6Addr) -> Self {
        let [prefix @ .., _, _, _, _, _, _, _, _] = target.octets();
        let mut registers = Self([Some(0); REGISTERS]);
        registers.store(Register::PREFIX, Some(u64::from_be_bytes(prefix)));
        registers.store(Register::HOST, Some(identifier(target)));
        registers
    }

    fn load(&self, Register(number): Register) -> Option<u64> {
        self.0.get(number).copied().flatten()
    }

    fn store(&mut self, Register(number): Register, value: Option<u64>) {
        if let Some(register) = self.0.get_mut(number) {
            *register = value;
        }
    }
}

/// Calculates a line; returns its result if each of its statements has one.
pub(super) fn run(ops: &[Op], registers: &mut Registers) -> Option<u64> {
    let mut stack = Stack { values: [None; STACK], height: 0 };
    let mut complete = true;
    for op in ops {
        match *op {
            Op::Push(number) => stack.push(Some(number)),
            Op::Load(register) => stack.push(registers.load(register)),
            Op::Store(register) => {
                let value = stack.pop();
                registers.store(register, value);
                stack.push(value);
            }
            Op::Unary(operator) => {
                let value = stack.pop();
                stack.push(value.map(|value| operator.apply(value)));
            }
            Op::Binary(operator) => {
                let right = stack.pop();
                let left = stack.pop();
                stack.push(left.zip(right).and_then(|(left, right)| operator.apply(left, right)));
            }
            Op::Drop => complete &= stack.pop().is_some(),
        }
    }
    stack.pop().filter(|_| complete)
}

/// Values on their way. The parser has seen to it that they fit.
struct Stack {
    values: [Option<u64>; STACK],
    height: usize,
}

impl Stack {
    fn push(&mut self, value: Option<u64>) {
        if let Some(top) = self.values.get_mut(self.height) {
            *top = value;
            self.height += 1;
        }
    }

    fn pop(&mut self) -> Option<u64> {
        self.height = self.height.saturating_sub(1);
        self.values.get(self.height).copied().flatten()
    }
}

impl Unary {
    fn apply(self, value: u64) -> u64 {
        match self {
            Self::Negate => value.wrapping_neg(),
            Self::Complement => !value,
            Self::Not => u64::from(value == 0),
            Self::Absolute => value.cast_signed().unsigned_abs(),
        }
    }
}

impl Binary {
    /// Whether the result is a truth: 0 or 1.
    pub(super) fn compares(self) -> bool {
        match self {
            Self::Less
            | Self::Greater
            | Self::LessOrEqual
            | Self::GreaterOrEqual
            | Self::Equal
            | Self::NotEqual
            | Self::BothTrue
            | Self::AnyTrue => true,
            Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::Remainder
            | Self::And
            | Self::Or
            | Self::ExclusiveOr
            | Self::ShiftLeft
            | Self::ShiftRight
            | Self::Mask => false,
        }
    }

    fn apply(self, left: u64, right: u64) -> Option<u64> {
        Some(match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => left.checked_div(right)?,
            Self::Remainder => left.checked_rem(right)?,
            Self::And => left & right,
            Self::Or => left | right,
            Self::ExclusiveOr => left ^ right,
            Self::ShiftLeft => shift(right, |by| left.checked_shl(by)),
            Self::ShiftRight => shift(right, |by| left.checked_shr(by)),
            Self::Less => u64::from(left < right),
            Self::Greater => u64::from(left > right),
            Self::LessOrEqual => u64::from(left <= right),
            Self::GreaterOrEqual => u64::from(left >= right),
            Self::Equal => u64::from(left == right),
            Self::NotEqual => u64::from(left != right),
            Self::BothTrue => u64::from(left != 0 && right != 0),
            Self::AnyTrue => u64::from(left != 0 || right != 0),
            Self::Mask => mask(left, right),
        })
    }
}

/// Shifts by any number of bits: beyond 63 nothing is left.
fn shift(by: u64, shifted: impl FnOnce(u32) -> Option<u64>) -> u64 {
    u32::try_from(by).ok().and_then(shifted).unwrap_or(0)
}

/// Returns a number with all bits from one position to another set.
fn mask(one: u64, another: u64) -> u64 {
    let [one, another] = [one, another].map(|position| position.cast_signed().clamp(0, 63));
    let (low, high) = (one.min(another), one.max(another));
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

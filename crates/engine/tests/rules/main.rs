//! The rules against straightforward readings of their documentation, written anew here: every
//! decision for random rules, and every result of random expressions.

mod decide;
mod expression;
mod scale;

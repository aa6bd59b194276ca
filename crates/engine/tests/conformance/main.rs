//! The rows of the conformance plan that concern the engine, one test or more for each.
//!
//! Every test talks to the engine through the tester in `bench`, which also checks after each
//! output what has to hold always.

mod bare;
mod bench;
mod crossing;
mod dad;
mod frame;
mod icm;
mod invariants;
mod lnk;
mod mcl;
mod mdn;
mod nai;
mod names;
mod nao;
mod nsi;
mod nso;
mod plural;
mod rte;
mod rules;
mod spoken;
mod text;
mod tim;
